"""Demo: the main job on an embedded broker and a small real model.

`tour` tells the story; `broker`, `models` and `children` run its parts as processes of their own, `traffic` and
`prompts` invent what people ask, `feed` writes it to the broker, `settings` configures the daemon.
"""
