# imagenet_llama3_8b.py with Chinese names and templates. Arabic, Italian and Japanese are there too: ar, it, jp
_base_ = './imagenet_llama3_8b.py'
model = dict(zero_shot=dict(classes='clip-benchmark:imagenet1k:cn', templates='clip-benchmark:imagenet1k:cn'))
