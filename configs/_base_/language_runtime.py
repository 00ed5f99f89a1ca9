# What every run of lbbt_mm has: one seed that makes the run, and the language model's config in its records
randomness = dict(seed=0)
custom_hooks = [dict(type='lbbt_mm.SeedingHook'), dict(type='lbbt_mm.LanguageConfigHook')]
