# mmseg's default runtime where it is not mmengine's (its configs cannot be inherited by name from the maintained release),
# and what every run here has
_base_ = './language_runtime.py'
default_scope = 'mmseg'
env_cfg = dict(cudnn_benchmark=True)
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
log_processor = dict(by_epoch=False)
tta_model = dict(type='SegTTAModel')
