"""``tools/install.sh`` in a copy of the checkout: the real script and real processes, with a stand-in for Python and pip."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = ['build', 'torch', 'mmcv', 'mm', 'dev', 'demo', 'package', 'bytecode', 'check']
# Answers what the script asks Python and makes folders instead of environments; logs what pip was asked to install.
FAKE_PYTHON = r'''#!/bin/bash
case "$1 $2" in
*version_info*) echo "${FAKE_VERSION:-3.11}" ;;
*get_path*) echo "$FAKE_INCLUDE" ;;
'-m venv')
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
'-m pip')
    what=$(printf '%s\n' "$@" | grep -o -E 'requirements/[a-z]+\.txt|^-e$' | tail -n 1)
    printf "%s\n" "$what" >>"$FAKE_LOG"
    if [ "$what" = "requirements/${FAKE_FAIL:-none}.txt" ]; then echo 'the disk is on fire'; exit 2; fi
    if [ "$what" = "requirements/${FAKE_HANG:-none}.txt" ]; then sleep 60; fi
    case " $* " in *' --no-compile '*) ;; *) echo 'pip compiles by itself'; exit 2 ;; esac ;;
esac
script=$([ "$1" != - ] || cat)
case $script in
*walk_packages*)
    { echo "PYTHONDONTWRITEBYTECODE=$PYTHONDONTWRITEBYTECODE"; echo "$script"; } >"$FAKE_LOG.script"
    exit "${FAKE_NO_BYTE_CODE:-0}" ;;
esac
exit 0
'''


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the script reads, and the environment variables it runs with."""
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    for name in ('tools/install.sh', 'tools/doctor/doctor.py', 'tools/doctor/checks.py', 'tools/doctor/probe.py', 'setup.py',
                 'pyproject.toml', 'lbbt_mm/version.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / 'fake-python'
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    compiler = tmp_path / 'fake-c++'
    compiler.write_text('#!/bin/sh\nexit 0\n')
    compiler.chmod(0o755)
    (tmp_path / 'Python.h').touch()
    return tmp_path


def environment(checkout, **extra):
    return {
        **os.environ, 'PYTHON': str(checkout / 'fake-python'), 'CXX': str(checkout / 'fake-c++'), 'MIN_DISK_GB': '0',
        'FAKE_INCLUDE': str(checkout), 'FAKE_LOG': str(checkout / 'pip.log'), **extra
    }


def install(checkout, **extra):
    return subprocess.run(['bash', str(checkout / 'tools' / 'install.sh')], cwd='/', env=environment(checkout, **extra),
                          capture_output=True, text=True, timeout=60)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob('*') if path.is_file()}


def steps_run(result):
    return re.findall(r'^==> (\w+):', result.stdout, flags=re.M)


def tools_without_compiler(folder):
    folder.mkdir()
    for tool in ('awk', 'bash', 'cat', 'cksum', 'df', 'dirname', 'grep', 'mkdir', 'rm', 'sed', 'tr', 'tail', 'touch', 'cp'):
        (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


def assert_refused(result, checkout, *words):
    assert result.returncode == 1
    assert result.stdout == ''
    for word in words:
        assert word in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (checkout / '.venv').exists()


def test_missing_compiler_stops_before_anything_is_made(checkout):
    result = install(checkout, CXX='', PATH=tools_without_compiler(checkout / 'bin'))
    assert_refused(result, checkout, 'C++ compiler', 'install one')


def test_compiler_that_refuses_cpp17_is_named(checkout):
    (checkout / 'fake-c++').write_text('#!/bin/sh\nexit 1\n')
    assert_refused(install(checkout), checkout, 'fake-c++', 'C++17')


@pytest.mark.parametrize('version', ['3.9', '3.10', '3.14'])
def test_unsupported_python_stops_before_anything_is_made(checkout, version):
    assert_refused(install(checkout, FAKE_VERSION=version), checkout, f'Python {version}', '3.11 or 3.12')


def test_absent_python_is_named(checkout):
    assert_refused(install(checkout, PYTHON='no-such-python'), checkout, 'no-such-python', '3.11')


def test_missing_headers_stop_before_anything_is_made(checkout):
    assert_refused(install(checkout, FAKE_INCLUDE='/nowhere'), checkout, 'Python.h', '/nowhere')


def test_too_little_disk_stops_before_anything_is_made(checkout):
    assert_refused(install(checkout, MIN_DISK_GB='99999999'), checkout, 'GB are free', 'MIN_DISK_GB')


def test_second_run_is_quick_and_needs_no_compiler(checkout):
    first = install(checkout)
    assert first.returncode == 0, first.stderr
    assert steps_run(first) == ['venv', *STEPS]
    assert 'environment is ready' in first.stdout
    start = time.monotonic()
    second = install(checkout, CXX='', PATH=tools_without_compiler(checkout / 'bin'))
    assert time.monotonic() - start < 2
    assert second.returncode == 0
    assert second.stdout.startswith('environment is up to date')
    assert len(second.stdout.splitlines()) == 1


def test_torch_comes_before_mmcv_and_mmcv_before_the_rest(checkout):
    install(checkout)
    asked = (checkout / 'pip.log').read_text().split()
    assert asked == [f'requirements/{name}.txt' for name in ('build', 'torch', 'mmcv', 'mm', 'dev', 'demo')] + ['-e']


def test_byte_code_is_of_what_our_modules_import_whatever_the_shell_says(checkout):
    assert install(checkout, PYTHONDONTWRITEBYTECODE='1').returncode == 0
    first, *script = (checkout / 'pip.log.script').read_text().splitlines()
    assert first == 'PYTHONDONTWRITEBYTECODE=' and 'import lbbt_mm' in script


def test_byte_code_that_is_not_there_afterwards_is_a_failure(checkout):
    failed = install(checkout, FAKE_NO_BYTE_CODE='1')
    assert failed.returncode == 1 and "the step 'bytecode' failed" in failed.stderr
    assert not (checkout / '.venv/install/bytecode.done').exists()


def test_failed_step_shows_the_end_of_its_log_and_is_where_the_next_run_starts(checkout):
    failed = install(checkout, FAKE_FAIL='mm')
    assert failed.returncode == 1
    assert 'the disk is on fire' in failed.stderr
    assert '.venv/install/mm.log' in failed.stderr
    assert 'the disk is on fire' in (checkout / '.venv/install/mm.log').read_text()
    resumed = install(checkout)
    assert resumed.returncode == 0
    assert steps_run(resumed) == STEPS[STEPS.index('mm'):]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_step_is_where_the_next_run_starts(checkout, number):
    process = subprocess.Popen(['bash', 'tools/install.sh'], cwd=checkout, env=environment(checkout, FAKE_HANG='torch'),
                               stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while 'torch' not in (checkout / 'pip.log').read_text() if (checkout / 'pip.log').exists() else True:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert 'goes on from here' in output
    assert not (checkout / '.venv/install/lock').exists()
    resumed = install(checkout)
    assert resumed.returncode == 0
    assert steps_run(resumed) == STEPS[STEPS.index('torch'):]


def test_changed_requirements_run_again_with_what_follows_only(checkout):
    install(checkout)
    with open(checkout / 'requirements' / 'dev.txt', 'a') as file:
        file.write('pytest-timeout==2.4.0\n')
    assert steps_run(install(checkout)) == ['dev', 'demo', 'package', 'bytecode', 'check']


def test_half_made_environment_is_repaired(checkout):
    (checkout / '.venv' / 'bin').mkdir(parents=True)
    (checkout / '.venv' / 'bin' / 'python').symlink_to('/nowhere/python3.11')
    (checkout / '.venv' / 'install').mkdir()  # the script makes this one first
    result = install(checkout)
    assert result.returncode == 0, result.stderr
    assert 'half made' in result.stdout
    assert steps_run(result) == ['venv', *STEPS]


def test_an_environment_of_another_origin_without_pip_is_left_alone(checkout):
    activate = checkout / '.venv' / 'bin' / 'activate'
    activate.parent.mkdir(parents=True)
    activate.write_text('mine')
    for _ in range(2):  # the refusal leaves no mark that would make it ours
        result = install(checkout)
        assert (result.returncode, result.stdout) == (1, '')
        assert '.venv is there, has no pip that works, and was not made by this script' in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert files(checkout / '.venv') == {'bin/activate': 'mine'}


@pytest.mark.parametrize('kind', ['file', 'link'])
def test_so_is_something_else_of_that_name(checkout, kind):
    path = checkout / '.venv'
    path.write_text('mine') if kind == 'file' else path.symlink_to(checkout / 'gone')
    result = install(checkout)
    assert result.returncode == 1 and 'was not made by this script' in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert path.read_text() == 'mine' if kind == 'file' else path.is_symlink() and not path.exists()


def test_an_empty_folder_is_made_an_environment(checkout):
    (checkout / '.venv').mkdir()
    assert install(checkout).returncode == 0


def test_nothing_is_removed_from_an_environment_of_another_origin(checkout):
    """One with pip is installed into, as before; what pip left half done there may be somebody's."""
    subprocess.run([checkout / 'fake-python', '-m', 'venv', checkout / '.venv'], env=environment(checkout), check=True)
    left = checkout / '.venv/lib/python3.11/site-packages/theirs-1.0.dist-info'
    left.mkdir(parents=True)
    (left / 'METADATA').touch()
    first = install(checkout, FAKE_FAIL='mm')
    assert first.returncode == 1 and '.venv was not made by this script: nothing in it is removed' in first.stdout
    assert install(checkout).returncode == 0 and (left / 'METADATA').is_file()
    (checkout / '.venv' / 'bin' / 'python').unlink()  # their environment breaks: it is theirs to repair
    before = files(checkout / '.venv' / 'bin')
    result = install(checkout)
    assert result.returncode == 1 and 'was not made by this script' in result.stderr
    assert files(checkout / '.venv' / 'bin') == before


def test_half_installed_package_is_forgotten(checkout):
    install(checkout, FAKE_FAIL='mm')
    left = checkout / '.venv/lib/python3.11/site-packages/transformers-4.57.6.dist-info'
    left.mkdir(parents=True)
    (left / 'METADATA').touch()
    result = install(checkout)
    assert 'transformers-4.57.6' in result.stdout
    assert not left.exists()


def test_second_install_at_the_same_time_is_refused(checkout):
    install(checkout, FAKE_FAIL='mm')
    (checkout / '.venv' / 'install' / 'lock').write_text(f'{os.getpid()}\n')
    result = install(checkout)
    assert result.returncode == 1
    assert f'process {os.getpid()}' in result.stderr


def test_requirements_and_constraints_agree():
    def pins(name):
        return dict(re.findall(r'^([\w-]+)==(\S+)$', (ROOT / 'requirements' / name).read_text(), flags=re.M))

    constraints = pins('constraints.txt')
    for name in ('build', 'torch', 'mmcv', 'mm', 'dev'):
        pinned = pins(f'{name}.txt')
        assert pinned
        assert pinned == {package: constraints.get(package) for package in pinned}, f'{name}.txt'


def test_ci_fails_when_pytest_runs_no_test(tmp_path):
    shutil.copytree(ROOT / '.ci', tmp_path / '.ci')
    shutil.copy(ROOT / 'Makefile', tmp_path)
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'install.sh').write_text('exit 0\n')
    (tmp_path / '.venv' / 'bin').mkdir(parents=True)
    (tmp_path / '.venv' / 'bin' / 'python').symlink_to(sys.executable)
    (tmp_path / 'ruff.py').write_text('')
    (tmp_path / 'pytest.py').write_text('raise SystemExit(5)')
    run = subprocess.run([str(Path(tmp_path, '.ci', 'run'))], capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
