"""Where LIBERO draws points of known places: run under its interpreter, it writes pixels and what the worker says of its cameras.

`python libero_points.py WORKER.py OUT.npz`. A small bright ball (a site of the scene, moved) is drawn at several places in the world, and
the image without it subtracted.
"""

import importlib.util
import sys

import numpy as np

SIZE = 640
PLACES = {
    "agentview": ((0.1, 0.2, 0.95), (0.05, -0.2, 1.0), (-0.05, 0.1, 1.3), (0.2, -0.05, 0.93)),
    "wrist": ((-0.2, 0.0, 0.95), (-0.1, 0.1, 0.95), (-0.15, -0.1, 0.95), (-0.05, 0.0, 1.0)),
}
"""Metres, LIBERO's world frame; free of things in the first scene of libero_90/13."""


def main(script, out):
    spec = importlib.util.spec_from_file_location("libero_worker", script)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    simulator = worker.Simulator()
    facts = simulator.reset("libero_90", 13, 0, 10)
    sim = simulator._env.sim
    ball = 0
    sim.model.site_bodyid[ball], sim.model.site_sameframe[ball], sim.model.site_group[ball] = 0, 0, 0
    sim.model.site_matid[ball] = -1
    found = {"base": np.array(facts["base_pos"])}
    for camera, places in PLACES.items():
        drawn = []
        for place in (None, *places):
            if place is not None:
                sim.model.site_pos[ball], sim.model.site_size[ball] = place, 0.004
                sim.model.site_type[ball] = 2
            sim.model.site_rgba[ball] = (0.0, 1.0, 0.0, 0.0 if place is None else 1.0)
            header, images = simulator.look([[camera, SIZE, SIZE, "a"]], SIZE)
            drawn.append(images["a"][::-1].astype(float))
        differences = np.abs(np.stack(drawn[1:]) - drawn[0]).sum(-1)
        pixels = []
        for difference in differences:
            rows, columns = np.nonzero(difference > 60)
            weights = difference[rows, columns]
            pixels.append([np.average(columns, weights=weights), np.average(rows, weights=weights), len(rows)])
        found[f"{camera}/pixels"], found[f"{camera}/places"] = np.array(pixels), np.array(places)
        pose = header["cameras"]["a"]
        found[f"{camera}/pos"], found[f"{camera}/mat"] = np.array(pose["pos"]), np.array(pose["mat"])
        found[f"{camera}/fovy"] = np.array(pose["fovy"])
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
