"""Demo: the main job on an embedded broker and a small real model."""
