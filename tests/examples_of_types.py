"""Values of any type that msgspec knows, with each member set, to check that they can be sent and read."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

from msgspec import inspect

_numbers = count(1)


def example(kind: Any) -> Any:
    """Return a value of a type. All members are set; no two texts or numbers are equal."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> Any:
    number = next(_numbers)
    match info:
        case inspect.AnyType():
            return {"a": [1, "b", None, 1.5, {"c": False}]}
        case inspect.NoneType():
            return None
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return number
        case inspect.FloatType():
            return number + 0.5
        case inspect.StrType(pattern=str() as pattern):  # of names and paths
            return f"/Name{number}" if pattern.startswith("^/") else f"Name{number}"
        case inspect.StrType():
            return f"text {number} ä\u2028"
        case inspect.BytesType():
            return b"\xff\x00" + str(number).encode()
        case inspect.DecimalType():
            return Decimal(f"{number}.05")
        case inspect.LiteralType(values=values):
            return values[-1]
        case inspect.EnumType(cls=cls):
            return list(cls)[-1]
        case inspect.UnionType(types=types):
            return _of(next(each for each in types if not _is_empty(each)))
        case inspect.VarTupleType(item_type=item):
            return _of(item), _of(item)
        case inspect.TupleType(item_types=items):
            return tuple(map(_of, items))
        case inspect.ListType(item_type=item):
            return [_of(item), _of(item)]
        case inspect.FrozenSetType(item_type=item):
            return frozenset({_of(item)})
        case inspect.SetType(item_type=item):
            return {_of(item)}
        case inspect.DictType(key_type=key, value_type=value):
            return {_of(key): _of(value)}
        case inspect.StructType(cls=cls, fields=fields) | inspect.DataclassType(cls=cls, fields=fields):
            return cls(**{field.name: _of(field.type) for field in fields})
        case inspect.CustomType(cls=cls):
            raise NotImplementedError(cls)
    raise NotImplementedError(info)


def _is_empty(info: inspect.Type) -> bool:
    return isinstance(info, inspect.NoneType) or "Unset" in repr(info)
