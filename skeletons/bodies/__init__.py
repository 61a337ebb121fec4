"""The target bodies, one file each, and `load_body`, which loads one by name. Other packages name no body's file.

Imports only `skeletons`.
"""

from dataclasses import replace
from functools import cache, lru_cache, partial

from musclemap.errors import TargetError
from musclemap.files import shown
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.variants.apply import altered_spec
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from . import bimanual_arm, myofullbody, small_arm
from .own_bodies import ENVIRONMENT, Loader, WithOwnBodies, add_body, loader_of_own

__all__ = ["BODIES", "BODY_OPTIONS", "DEFAULT_BODY", "add_body", "load_body", "load_body_version", "load_clip_body"]

BODIES = WithOwnBodies[Loader](
    {
        myofullbody.NAME: cache(myofullbody.load_myofullbody),
        bimanual_arm.NAME: cache(bimanual_arm.load_bimanual_arm),
        small_arm.ARM_NAME: cache(small_arm.load_small_arm_body),
    },
    loader_of_own,
)
"""Loader of each body, by name; bodies of one's own come last."""

DEFAULT_BODY = myofullbody.NAME

BODY_OPTIONS = WithOwnBodies[str](
    {"full-body": myofullbody.NAME, "bimanual-arm": bimanual_arm.NAME}, lambda name, path: name
)
"""Bodies that motions are retargeted to, by their names in commands and settings; one's own have their own names."""

_TABLE = f"a body of your own is known by its table: --body TABLE.toml, or {ENVIRONMENT}"

MAX_VARIANTS = 32
"""Most variants that are kept in memory; files name any number of them."""


def load_body(
    name: str = DEFAULT_BODY,
    *,
    limits: str = "effective",
    published: bool = False,
    variant: BodyVariant = UNALTERED,
) -> TargetBody:
    """Load a body by the name in a clip's `model`; the same arguments return the same object.

    Of the variants only the last `MAX_VARIANTS` are kept.

    Args:
        name: Name of the body.
        limits: "effective" or "declared" joint ranges, see `TargetBody`.
        published: Load the model as its package releases it, without our corrections.
        variant: What differs from the body's table.

    Raises:
        TargetError: If the body does not exist, or does not take the variant; the message lists the known names.
    """
    if name not in BODIES:
        raise TargetError(f"there is no body {shown(name)}; the bodies are: {', '.join(BODIES)}; {_TABLE}")
    body = BODIES[name](limits=limits, published=published)
    return _altered(body, variant) if variant else body


@lru_cache(maxsize=MAX_VARIANTS)
def _altered(body: TargetBody, variant: BodyVariant) -> TargetBody:
    make_spec = partial(altered_spec, body.make_spec, body.model, variant, scalable=body.scalable)
    altered = replace(body, model=make_spec().compile(), make_spec=make_spec, variant=variant)
    _ = altered.reduced_hands  # raises for ranges that couplings do not permit
    return altered


def load_body_version(
    name: str, sha256: str, *, limits: str = "effective", variant: BodyVariant = UNALTERED
) -> TargetBody:  # fmt: skip
    """Load the version of a body, corrected or as published, that a clip or policy was made for.

    Args:
        name: Name of the body.
        sha256: Hash of the version, as in a clip's `model_sha256`.
        limits: "effective" or "declared" joint ranges.
        variant: What differs from the body's table, as in a clip's `variant`.

    Returns:
        The body with this hash, or the corrected one if neither has it; callers that need the very version compare.

    Raises:
        TargetError: If the body does not exist, or does not take the variant.
    """
    body = load_body(name, limits=limits, variant=variant)
    if body.sha256 != sha256 and body.corrections:
        published = load_body(name, limits=limits, published=True, variant=variant)
        if published.sha256 == sha256:
            return published
    return body


def load_clip_body(
    name: str, sha256: str, *, limits: str = "effective", variant: BodyVariant = UNALTERED
) -> TargetBody:  # fmt: skip
    """As `load_body_version`, for a body that motions are retargeted to.

    Raises:
        TargetError: If it is none of these, or does not take the variant; the message says how a body becomes known.
    """
    if name not in BODY_OPTIONS.values():
        raise TargetError(
            f"it is of the body {shown(name)}; known are: {', '.join(BODY_OPTIONS.values())}; {_TABLE}"
        )  # fmt: skip
    return load_body_version(name, sha256, limits=limits, variant=variant)
