"""Images that stand in for those that cannot be pulled, made of this machine's own files."""

from localcloud.images.catalogue import catalogue, kind_of
from localcloud.images.machine import StandInImpossible
from localcloud.images.recipe import RECIPE_LABEL, STAND_IN_LABEL, Kind, Recipe
from localcloud.images.stock import BadReference, How, ensure

__all__ = [
    "RECIPE_LABEL",
    "STAND_IN_LABEL",
    "BadReference",
    "How",
    "Kind",
    "Recipe",
    "StandInImpossible",
    "catalogue",
    "ensure",
    "kind_of",
]
