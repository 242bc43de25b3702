"""Architecture search: spaces of tables, samplers of categorical decisions, objectives, and the driver between them.

A space knows no algorithm, a sampler sees only categorical decisions with masks, the driver knows neither.
"""
