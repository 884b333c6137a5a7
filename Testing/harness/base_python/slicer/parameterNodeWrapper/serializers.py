"""Store values of each type in a vtkMRMLScriptedModuleNode as Slicer does."""

import enum
import pathlib
import types
import typing

import slicer

from .annotations import IsInstance, NotNone, Validator, splitAnnotations


class Serializer:
    """Values of one type in a parameter node, as a text under the parameter's name; validators see what is written."""

    cached = True

    def __init__(self, datatype, validators=()):
        self.datatype, self.validators = datatype, list(validators)

    def default(self):
        raise NotImplementedError

    def isIn(self, node, name):
        return node.HasParameter(name)

    def write(self, node, name, value):
        for validator in self.validators:
            validator.validate(value)
        self._write(node, name, value)

    def _write(self, node, name, value):
        node.SetParameter(name, self.toText(value))

    def read(self, node, name):
        return self.fromText(node.GetParameter(name))

    def remove(self, node, name):
        node.UnsetParameter(name)

    def toText(self, value):
        return str(value)

    def fromText(self, text):
        return self.datatype(text)


class _Number(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype, [NotNone(), IsInstance((int, float) if datatype is float else int)])

    def default(self):
        return 0


class _Text(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype, [NotNone(), IsInstance(datatype)])

    def default(self):
        return self.datatype()


class _Bool(_Text):
    def fromText(self, text):
        return text == "True"


class _Enum(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype, [IsInstance(datatype)])

    def default(self):
        return next(iter(self.datatype))

    def toText(self, value):
        return value.name

    def fromText(self, text):
        if text not in self.datatype.__members__:
            raise ValueError(f"{text!r} is no member of {self.datatype!r}")
        return self.datatype[text]


class _Node(Serializer):
    """A reference of the parameter's name, with an empty text beside it that says it has been set, be it to None."""

    def __init__(self, datatype):
        super().__init__(datatype, [IsInstance(datatype)])

    def default(self):
        return None

    def _write(self, node, name, value):
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        super().remove(node, name)
        node.RemoveNodeReferenceIDs(name)


class _None(_Bool):
    def __init__(self, datatype):
        Serializer.__init__(self, datatype)

    def default(self):
        return None

    def toText(self, value):
        return "True"

    def fromText(self, text):
        return None

    def write(self, node, name, value):
        if value is not None:
            raise TypeError("Value must be None")
        super().write(node, name, value)


class _Union(Serializer):
    """One of several types, under the name and the number of the type."""

    def __init__(self, datatype):
        super().__init__(datatype)
        self.members = [serializer_of(member) for member in typing.get_args(datatype)]
        self.cached = all(member.cached for member in self.members)

    def default(self):
        optional = len(self.members) == 2 and isinstance(self.members[1], _None)
        return None if optional else self.members[0].default()

    def _held(self, node, name):
        names = [(member, f"{name}.{index}") for index, member in enumerate(self.members)]
        return next(((member, part) for member, part in names if member.isIn(node, part)), None)

    def isIn(self, node, name):
        return self._held(node, name) is not None

    def _write(self, node, name, value):
        failure = TypeError(f"Unable to write value {value!r} of type {type(value)}")
        with slicer.util.NodeModify(node):
            before = self._held(node, name)
            for index, member in enumerate(self.members):
                try:
                    member.write(node, f"{name}.{index}", value)
                except (TypeError, ValueError) as error:
                    failure = error
                    continue
                if before and before[1] != f"{name}.{index}":
                    before[0].remove(node, before[1])
                return
        raise failure

    def read(self, node, name):
        member, part = self._held(node, name)
        return member.read(node, part)

    def remove(self, node, name):
        for index, member in enumerate(self.members):
            member.remove(node, f"{name}.{index}")


class _Tuple(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype)
        self.members = [serializer_of(member) for member in typing.get_args(datatype)]
        self.cached = all(member.cached for member in self.members)

    def default(self):
        return tuple(member.default() for member in self.members)

    def _parts(self, name):
        return [(member, f"{name}.{index}") for index, member in enumerate(self.members)]

    def isIn(self, node, name):
        return self.members[0].isIn(node, f"{name}.0")

    def _write(self, node, name, value):
        if len(value) != len(self.members):
            raise ValueError("Unexpected number of tuple values")
        with slicer.util.NodeModify(node):
            for (member, part), item in zip(self._parts(name), value, strict=True):
                member.write(node, part, item)

    def read(self, node, name):
        return tuple(member.read(node, part) for member, part in self._parts(name))

    def remove(self, node, name):
        for member, part in self._parts(name):
            member.remove(node, part)


class _List(Serializer):
    def __init__(self, datatype):
        super().__init__(datatype)
        self.member = serializer_of(typing.get_args(datatype)[0])
        self.cached = self.member.cached

    def default(self):
        return []

    def isIn(self, node, name):
        return node.HasParameter(f"{name}.len")

    def _length(self, node, name):
        return int(node.GetParameter(f"{name}.len")) if self.isIn(node, name) else 0

    def _write(self, node, name, value):
        with slicer.util.NodeModify(node):
            for index, item in enumerate(value):
                self.member.write(node, f"{name}.{index}", item)
            for index in range(len(value), self._length(node, name)):
                self.member.remove(node, f"{name}.{index}")
            node.SetParameter(f"{name}.len", str(len(value)))

    def read(self, node, name):
        items = [self.member.read(node, f"{name}.{index}") for index in range(self._length(node, name))]
        return ObservedList(items, lambda value: self.write(node, name, value))

    def remove(self, node, name):
        for index in range(self._length(node, name)):
            self.member.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")


class ObservedList(list):
    """A list that is written back whenever it is changed."""

    def __init__(self, items, save):
        super().__init__(items)
        self._save = save


def _saving(name):
    def method(self, *args, **kwargs):
        result = getattr(list, name)(self, *args, **kwargs)
        self._save(self)
        return self if name == "__iadd__" else result

    return method


for _name in ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"):
    setattr(ObservedList, _name, _saving(_name))
for _name in ("__setitem__", "__delitem__", "__iadd__"):
    setattr(ObservedList, _name, _saving(_name))


def serializer_of(annotated):
    datatype, annotations = splitAnnotations(annotated)
    serializer = _plain_serializer(datatype)
    serializer.validators += [annotation for annotation in annotations if isinstance(annotation, Validator)]
    return serializer


def _plain_serializer(datatype):  # noqa: C901
    origin = typing.get_origin(datatype)
    if origin is types.UnionType:  # X | None
        origin = typing.Union
    if origin in (typing.Union, tuple, list):
        return {typing.Union: _Union, tuple: _Tuple, list: _List}[origin](datatype)
    if datatype in (int, float):
        return _Number(datatype)
    if datatype is bool:
        return _Bool(datatype)
    if hasattr(datatype, "packSerializer"):
        return datatype.packSerializer(datatype)
    if isinstance(datatype, type):
        if datatype is str or issubclass(datatype, pathlib.PurePath):
            return _Text(datatype)
        if issubclass(datatype, enum.Enum):
            return _Enum(datatype)
        if issubclass(datatype, slicer.vtkMRMLNode):
            return _Node(datatype)
        if datatype is type(None):
            return _None(datatype)
    raise Exception(f"Unable to create serializer for type: {datatype}")
