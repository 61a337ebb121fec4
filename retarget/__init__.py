"""Source motion to clip. Calling the package calls `musclemap.api.conversion.retarget`."""

from musclemap.callable_package import make_callable

make_callable(__name__, "musclemap.api.conversion:retarget")
