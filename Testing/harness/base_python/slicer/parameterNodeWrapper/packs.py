"""Parameters as a class declares them, and packs: several typed values that are one parameter."""

import logging
import typing
from dataclasses import dataclass
from typing import Any

import slicer

from .annotations import (
    Decimals,
    Default,
    IsInstance,
    Label,
    NotNone,
    SingleStep,
    Validator,
    findFirstAnnotation,
    splitAnnotations,
    unannotatedType,
)
from .serializers import Serializer, serializer_of


class PackSerializer(Serializer):
    """The members of a parameterPack, under the name, a dot, and theirs."""

    cached = False

    def __init__(self, datatype):
        super().__init__(datatype, [NotNone(), IsInstance(datatype)])

    def default(self):
        return self.datatype()

    def isIn(self, node, name):
        first = next(iter(self.datatype.allParameters.values()))
        return first.serializer.isIn(node, f"{name}.{first.basename}")

    def _write(self, node, name, value):
        with slicer.util.NodeModify(node):
            for member in self.datatype.allParameters.values():
                member.serializer.write(node, f"{name}.{member.basename}", value._values[member.basename])

    def read(self, node, name):
        pack = self.datatype.__new__(self.datatype)
        pack.__dict__["_values"] = {
            member.basename: member.serializer.read(node, f"{name}.{member.basename}")
            for member in self.datatype.allParameters.values()
        }
        pack.__dict__["_save"] = lambda: self.write(node, name, pack)
        return pack

    def remove(self, node, name):
        for member in self.datatype.allParameters.values():
            member.serializer.remove(node, f"{name}.{member.basename}")


@dataclass
class ParameterInfo:
    basename: str
    serializer: Serializer
    default: Any
    unalteredType: Any


def declared_parameters(cls):
    """Return the parameters that a class's annotations declare, with their defaults as Default."""
    parameters = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        annotations = splitAnnotations(annotated)[1]
        try:
            serializer = serializer_of(annotated)
        except Exception as error:
            raise Exception(f"Unable to create serializer for {cls} member {name}") from error
        if hasattr(cls, name):
            default = Default(getattr(cls, name))
        else:
            default = findFirstAnnotation(annotations, Default) or Default(serializer.default())
        unused = [a for a in annotations if not isinstance(a, (Default, Validator, Decimals, SingleStep, Label))]
        if unused:
            logging.warning(f"Unused annotations: {unused}")
        parameters[name] = ParameterInfo(name, serializer, default, annotated)
    return parameters


def isParameterPack(obj):
    return getattr(obj, "_is_parameterPack", False)


def parameterPack(classtype=None):  # noqa: C901
    """Class decorator: several typed values that are one parameter."""
    if classtype is None:
        return parameterPack
    parameters = declared_parameters(classtype)
    if not parameters:
        raise ValueError("Unable to find any members in parameterPack")
    own_init = classtype.__dict__.get("__init__")

    def __init__(self, *args, **kwargs):
        self.__dict__["_values"] = {name: info.default.value for name, info in parameters.items()}
        self.__dict__["_save"] = lambda: None
        if own_init:
            own_init(self, *args, **kwargs)
            return
        given = dict(zip(parameters, args, strict=False))
        for name in kwargs:
            if name not in parameters or name in given:
                raise TypeError(f"__init__() got an unexpected or repeated argument '{name}'")
        for name, value in {**given, **kwargs}.items():
            setattr(self, name, value)

    def member(name):
        def write(self, value):
            for validator in parameters[name].serializer.validators:
                validator.validate(value)
            self._values[name] = value
            self._save()

        return property(lambda self: self._values[name], write)

    def get(self, name):
        top, _, rest = name.partition(".")
        return getattr(self, top).getValue(rest) if rest else getattr(self, top)

    def put(self, name, value):
        top, _, rest = name.partition(".")
        if rest:
            inner = getattr(self, top)
            inner.setValue(rest, value)
            setattr(self, top, inner)
        else:
            setattr(self, top, value)

    for name in parameters:
        setattr(classtype, name, member(name))
    classtype.__init__ = __init__
    if "__eq__" not in classtype.__dict__:
        classtype.__eq__ = lambda self, other: isinstance(other, classtype) and self._values == other._values
        classtype.__hash__ = None
    if "__repr__" not in classtype.__dict__:
        classtype.__repr__ = lambda self: (
            f"{classtype.__name__}({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"
        )
    classtype.allParameters = parameters
    classtype._is_parameterPack = True
    classtype.packSerializer = PackSerializer
    classtype.getValue = get
    classtype.setValue = put
    classtype.dataType = staticmethod(lambda name: data_type(parameters, name))
    return classtype


def nestedParameterNames(pack):
    names = []
    for name, info in unannotatedType(pack).allParameters.items():
        plain = unannotatedType(info.unalteredType)
        names += [f"{name}.{rest}" for rest in nestedParameterNames(plain)] if isParameterPack(plain) else [name]
    return names


def data_type(parameters, name):
    top, _, rest = name.partition(".")
    if top not in parameters:
        raise ValueError(f"Cannot find a param with the given name: {top}; there are {', '.join(parameters)}")
    datatype = parameters[top].unalteredType
    if not rest:
        return datatype
    if not isParameterPack(unannotatedType(datatype)):
        raise ValueError(f"{top} is not a parameter pack but expects to have '{rest}'")
    return data_type(unannotatedType(datatype).allParameters, rest)


@parameterPack
class FloatRange:
    _minimum: float
    _maximum: float

    def __init__(self, minimum=0, maximum=0):
        self.setRange(minimum, maximum)

    def setRange(self, minimum, maximum):
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self._minimum, self._maximum = minimum, maximum

    @property
    def minimum(self):
        return self._minimum

    @minimum.setter
    def minimum(self, value):
        self.setRange(value, self.maximum)

    @property
    def maximum(self):
        return self._maximum

    @maximum.setter
    def maximum(self, value):
        self.setRange(self.minimum, value)
