"""The base of errors that the user can mend: every one that is raised once a run has begun is one of these."""
import pytest

from lbbt_mm.engine.hooks.gsnr_hook import UnmeasurableError
from lbbt_mm.engine.hooks.named_files_hook import LoadingError
from lbbt_mm.errors import UserError
from lbbt_mm.files.feature_store import FeatureError
from lbbt_mm.language.errors import CheckpointError
from lbbt_mm.models.rectifiers.insertion import UnfitBackbone


@pytest.mark.parametrize('kind', [CheckpointError, FeatureError, LoadingError, UnfitBackbone, UnmeasurableError])
def test_what_is_found_late_is_the_users_to_mend(kind):
    with pytest.raises(UserError, match='^what to do$'):
        raise kind('what to do')
