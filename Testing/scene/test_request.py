"""A request reaches the run in every allowed form, and the names of version 0.4 warn."""

import warnings

import pytest

from BSAFusionLib import Settings
from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.request import Outputs, Request


def request(settings=None, outputs=None, **choices):
    return Request.of(None, None, settings, outputs, (), **choices)


def test_settings_and_single_choices_combine():
    asked = request(Settings("ct", slice_axis="j", strength=0.5), strength=0.25, device="cpu").settings
    assert asked == Settings("ct", slice_axis="j", strength=0.25, device="cpu")
    assert request().settings == Settings("auto")


def test_outputs_come_as_such_or_as_a_mapping():
    assert request(outputs={"makeRegistered": False}).outputs == Outputs(makeRegistered=False)
    assert request(outputs=Outputs(makeRegistered=False)).outputs == request(outputs={"makeRegistered": False}).outputs


def test_former_names_go_on_working_and_warn():
    with pytest.warns(DeprecationWarning, match="is deprecated") as warned:
        asked = request(sliceAxis="k", ctWindow=(30, 90), batchSize=2, doNoHarm=False, makeRegistered=False)
    assert asked.settings == Settings("auto", slice_axis="k", ct_window=(30, 90), batch_size=2, do_no_harm=False)
    assert asked.outputs == Outputs(makeRegistered=False)
    assert "slice_axis=" in str(warned[0].message)
    assert "outputs=Outputs(makeRegistered=...)" in str(warned[-1].message)


def test_present_names_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        request(slice_axis="k", ct_window=(30, 90), modality="ct", weights="w.safetensors")


def test_an_unknown_name_or_value_is_rejected():
    with pytest.raises(TypeError, match=r"no argument 'sliceaxis'.* slice_axis"):
        request(sliceaxis="k")
    with pytest.raises(TypeError, match="outputs=Outputs"):
        request(settings=object())
    with pytest.raises(FusionError, match="slice axis 'x'"):
        request(slice_axis="x")
