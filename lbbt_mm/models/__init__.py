"""Models of lbbt_mm. Importing this registers them in scope ``lbbt_mm``."""
from .backbones import *  # noqa: F401,F403
from .classifiers import *  # noqa: F401,F403
from .decode_heads import *  # noqa: F401,F403
from .detectors import *  # noqa: F401,F403
from .layers import LanguageBlock  # noqa: F401
from .losses import *  # noqa: F401,F403
from .multimodal import *  # noqa: F401,F403
from .projections import *  # noqa: F401,F403
from .recognizers import *  # noqa: F401,F403
from .rectifiers import *  # noqa: F401,F403
from .segmentors import *  # noqa: F401,F403
