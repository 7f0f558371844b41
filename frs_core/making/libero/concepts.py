"""Where the objects that the LIBERO generalist locates are in a scene: one point each, which the pointing loss aims at.

Of a thing that stands somewhere the middle of its top; of a drawer its handle, of a stove's knob its top, of a door its free edge, of what LIBERO
calls a region (a compartment, a burner) its middle. Base frame, metres.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.policies.libero.language import CONCEPTS
from frs_core.worlds.libero.fixtures import door_edge, handle_of, knob_top
from frs_core.worlds.libero.geometry import Scene

THINGS: dict[str, tuple[str, ...]] = {
    "black bowl 1": ("akita_black_bowl_1",),
    "black bowl 2": ("akita_black_bowl_2",),
    "black bowl 3": ("akita_black_bowl_3",),
    "white bowl": ("white_bowl_1",),
    "plate 1": ("plate_1",),
    "plate 2": ("plate_2",),
    "butter 1": ("butter_1",),
    "butter 2": ("butter_2",),
    "moka pot 1": ("moka_pot_1",),
    "moka pot 2": ("moka_pot_2",),
    "frying pan": ("chefmate_8_frypan_1",),
    "white mug": ("porcelain_mug_1",),
    "red mug": ("red_coffee_mug_1",),
    "yellow and white mug": ("white_yellow_mug_1",),
    "alphabet soup": ("alphabet_soup_1",),
    "tomato sauce": ("tomato_sauce_1",),
    "bbq sauce": ("bbq_sauce_1",),
    "ketchup": ("ketchup_1",),
    "salad dressing": ("salad_dressing_1", "new_salad_dressing_1"),
    "cream cheese": ("cream_cheese_1",),
    "milk": ("milk_1",),
    "orange juice": ("orange_juice_1",),
    "chocolate pudding": ("chocolate_pudding_1",),
    "cookies": ("cookies_1",),
    "ramekin": ("glazed_rim_porcelain_ramekin_1",),
    "wine bottle": ("wine_bottle_1",),
    "wine rack": ("wine_rack_1",),
    "basket": ("basket_1",),
    "tray": ("wooden_tray_1",),
    "black book": ("black_book_1",),
    "yellow book 1": ("yellow_book_1",),
    "yellow book 2": ("yellow_book_2",),
    "caddy": ("desk_caddy_1",),
}
"""Concept -> LIBERO's names of the thing."""
REGIONS: dict[str, tuple[str, ...]] = {
    "front compartment": ("desk_caddy_1_front_contain_region",),
    "back compartment": ("desk_caddy_1_back_contain_region",),
    "left compartment": ("desk_caddy_1_left_contain_region",),
    "right compartment": ("desk_caddy_1_right_contain_region",),
    "cabinet": ("wooden_cabinet_1_top_side", "white_cabinet_1_top_side", "wooden_two_layer_shelf_1_top_side"),
    "cabinet shelf": ("wooden_two_layer_shelf_1_top_region",),
    "stove": ("flat_stove_1_cook_region",),
}
DRAWERS: dict[str, tuple[str, ...]] = {
    f"{level} drawer": (f"wooden_cabinet_1_{level}_region", f"white_cabinet_1_{level}_region")
    for level in ("top", "middle", "bottom")
}
KNOB, MICROWAVE = "flat_stove_1", "microwave_1"


def concept_points(scene: Scene) -> Float[Array, "K 3"]:
    """Return one point per concept; NaN for what is absent."""
    found: dict[str, Array] = dict.fromkeys(CONCEPTS, np.full(3, np.nan))
    for concept, names in THINGS.items():
        for name in names:
            if name in scene.kinds:
                low, high = scene.bounds(name)
                found[concept] = np.array([*(low + high)[:2] / 2, high[2]])
    for concept, names in REGIONS.items():
        for name in names:
            if name in scene.regions:
                found[concept] = scene.regions[name].centre
    for concept, names in DRAWERS.items():
        for name in names:
            joint = scene.joint_of(name) if name in scene.regions else None
            handle = handle_of(scene, joint) if joint is not None else None
            if handle is not None:
                found[concept] = handle
    if KNOB in scene.kinds and (top := knob_top(scene, KNOB)) is not None:
        found["knob"] = top
    if MICROWAVE in scene.kinds:
        found["microwave"] = door_edge(scene, MICROWAVE)[0]
    return np.stack([found[concept] for concept in CONCEPTS])
