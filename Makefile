# Every target but help and clean first makes .venv; that takes no time once it is there.
PY = .venv/bin/python
# Small tensors gain nothing from many threads, and several test processes would fight over them. Byte code is kept,
# whatever the shell says: hundreds of processes would compile our modules anew.
TEST_ENV = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} PYTHONDONTWRITEBYTECODE= TOKENIZERS_PARALLELISM=false MPLBACKEND=Agg
# Half the time on two cores; TEST_ARGS of your own take its place.
# A file stays in one process, so what its tests share is made once.
TEST_ARGS ?= -n 2 --dist loadfile

.PHONY: help install demo test fuzz lint bench clean

help:
	@echo 'make install  make .venv (15 to 30 minutes once; PYTHON=python3.12 picks another interpreter)'
	@echo "make demo     LBBT, a DETR, a Segmenter and a ViT with SmolLM2's blocks and without them, three seeds (DEMO_ARGS='--full')"
	@echo "make test     run the tests (TEST_ARGS='-k name', '-m slow' for the slow ones; default '-n 2 --dist loadfile')"
	@echo "make fuzz     open 10,000 damaged language checkpoints (FUZZ_ARGS='--cases 1000 --seed 1')"
	@echo 'make lint     check the style of the code'
	@echo 'make bench    time our layers, heads, backbone, partial and auxiliary training, GSNR, features of captions, and reading a checkpoint and counting its outliers (BENCH_ARGS)'
	@echo 'make clean    remove caches and build products; .venv and work_dirs stay'

install:
	@bash tools/install.sh

demo: install
	$(PY) -m tools.demo $(DEMO_ARGS)

test: install
	$(TEST_ENV) $(PY) -m pytest $(TEST_ARGS)

fuzz: install
	$(TEST_ENV) $(PY) -m tests.fuzz $(FUZZ_ARGS)

lint: install
	$(PY) -m ruff check .

bench: install
	$(PY) -m pip install -q --no-input --disable-pip-version-check --no-deps -r requirements/bench.txt
	$(PY) tools/benchmarks/detr_layers.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/segmenter_head.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/llm_backbone.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/partial_training.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/rectifier.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/checkpoint_reading.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/outlier_statistics.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/gsnr.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/text_features.py $(BENCH_ARGS)
	$(PY) tools/benchmarks/sharelock.py $(BENCH_ARGS)

clean:
	rm -rf build/lib build/bdist.* dist/lbbt_mm-* lbbt_mm.egg-info .pytest_cache .ruff_cache
	rmdir build dist 2>/dev/null || true
	find lbbt_mm tools tests configs -type d -name __pycache__ -exec rm -rf {} +
