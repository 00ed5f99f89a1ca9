"""What is asked of a run: reading, overriding, comparing and writing it down."""
import json
import logging
from collections import OrderedDict

import pytest
from mmengine.config import Config

from lbbt_mm.runs.run_request import as_json, differences, override, read_config


class TestReading:

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='nothing.py: no such config file. Give the path'):
            read_config(tmp_path / 'nothing.py')

    def test_custom_modules_are_left_to_the_training(self, tmp_path):
        (tmp_path / 'a.py').write_text("x = 1\ncustom_imports = dict(imports=['no_such_module'])\n")
        assert read_config(tmp_path / 'a.py').x == 1

    def test_mmengine_s_remarks_are_silenced_while_it_reads_and_no_longer(self, tmp_path):
        (tmp_path / 'a.py').write_text('import logging\nlevel = logging.root.manager.disable\n')
        (tmp_path / 'b.py').write_text('raise ValueError\n')
        before = logging.root.manager.disable
        assert read_config(tmp_path / 'a.py').level == logging.INFO > before
        with pytest.raises(ValueError):
            read_config(tmp_path / 'b.py')
        assert logging.root.manager.disable == before


class TestOverriding:

    def test_values_are_read_as_on_the_command_line(self):
        cfg = Config(dict(a=dict(b=1), pipeline=[dict(type='A'), dict(type='B')], d=1, e=1))
        changed = override(cfg, ['a.b=2', 'a.c=[1,2]', 'pipeline.1.type=C', 'd=None', 'e=1e-3'])
        assert changed.a == dict(b=2, c=[1, 2]) and changed.pipeline[1].type == 'C' and changed.e == 1e-3
        assert changed.d is None
        assert changed.pipeline[0].type == 'A'

    def test_a_key_that_nothing_reads_is_refused(self):
        with pytest.raises(ValueError, match=r'--cfg-options optim_wraper.lr: .* did you mean optim_wrapper.lr\?'):
            override(Config(dict(optim_wrapper=dict(type='OptimWrapper'))), ['optim_wraper.lr=1'])

    def test_the_config_itself_stays(self):
        cfg = Config(dict(a=dict(b=1)))
        override(cfg, ['a.b=2'])
        assert cfg.a.b == 1 and override(cfg, []).to_dict() == cfg.to_dict()


class TestComparing:

    def test_each_setting_that_differs_is_named_with_both_values(self):
        found = dict(same=1, lr=0.1, model=dict(heads=[1, 2], only_there=True), steps=[1])
        asked = dict(same=1, lr=0.2, model=dict(heads=[1, 3]), steps=[1, 2])
        assert list(differences(found, asked)) == [
            'lr is 0.1 there, 0.2 asked', 'model.heads.1 is 2 there, 3 asked', 'model.only_there is True there, None asked',
            'steps is [1] there, [1, 2] asked']
        assert not list(differences(found, found))

    def test_an_arm_that_is_stated_is_the_one_that_is_not(self):
        stated, open_ = (dict(model=dict(language=start)) for start in (dict(arm='language', seed=0), {}))
        assert differences(stated, open_) == differences(open_, stated) == []
        stated['model']['language']['arm'] = 'random'
        assert differences(stated, open_) == ["model.language.arm is 'random' there, 'language' asked"]

    def test_long_values_are_cut(self):
        phrase, = differences(dict(a='x' * 500), dict(a='y'))
        assert len(phrase) < 100 and "...' there" not in phrase and 'x... there' in phrase

    def test_what_json_gives_back_is_equal(self):
        cfg = dict(a=(1, 2.5), b=OrderedDict(c=None), d={3: True}, e=Config)
        assert json.loads(json.dumps(as_json(cfg))) == as_json(cfg) == dict(a=[1, 2.5], b=dict(c=None), d={'3': True},
                                                                            e='Config')

    def test_objects_are_written_without_their_address(self):
        class Thing:
            pass

        assert as_json(Thing()) == as_json(Thing()) and ' at 0x' not in as_json(Thing())
