"""Training sees pairs whose true field it knows, keeps patients apart, learns, and can be taken up again."""

import json
import os
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from kornia.filters import spatial_gradient
from kornia.losses import ssim_loss
from lightning_fabric import Fabric

from BSAFusionLib import __main__ as command_line
from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.bsfa import sum_of_fields
from BSAFusionLib.network.interface import Registration
from BSAFusionLib.network.matching import offsets
from BSAFusionLib.network.metadata import DEEP, LIGHT, Metadata
from BSAFusionLib.network.sampling import warp
from BSAFusionLib.network.weights import load_network, save_network
from BSAFusionResearch.evaluation.fusion_quality import q_abf
from BSAFusionResearch.simulation.heads import refuse_reported
from BSAFusionResearch.training import losses, slice_pairs
from BSAFusionResearch.training.cards import describe_validation
from BSAFusionResearch.training.initial import initial_network
from BSAFusionResearch.training.label_slices import load_label_slices
from BSAFusionResearch.training.slice_pairs import held_out_patients, load_pairs, record_of
from BSAFusionResearch.training.trainer import CHECKPOINT, Trainer, TrainingSettings, validate
from BSAFusionResearch.training.unaligned_pairs import Simulator, UnalignedPairs, inverse
from Testing.training.ellipses import ellipses, save_ellipses

small = Simulator()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return ellipses(4).batch(torch.arange(4), torch.device("cpu"))


def test_the_inverse_of_a_field_undoes_it():
    torch.manual_seed(0)
    field = Simulator().random_field(2, (96, 128), torch.device("cpu"))
    inverted = inverse(field)
    assert (inverted + warp(field, inverted)).abs().max() < 0.01
    assert field.square().sum(1).sqrt().mean() > 2


def test_a_share_of_the_motions_is_elastic_only():
    torch.manual_seed(0)
    moved = replace(Simulator(), elastic=0.0, elastic_only=0.5).random_field(40, (32, 32), torch.device("cpu"))
    still = (moved == 0).all(dim=3).all(dim=2).all(dim=1)
    assert 8 < still.sum() < 32


def test_the_moving_slice_sampled_through_the_true_field_is_the_aligned_one(batch):
    torch.manual_seed(1)
    pairs = replace(small, vary=False)(*batch)
    inner = (..., slice(12, -12), slice(12, -12))
    before = (pairs.moving - pairs.aligned)[inner].abs().mean()
    after = (warp(pairs.moving, pairs.field) - pairs.aligned)[inner].abs().mean()
    assert before > 0.05
    assert after < 0.25 * before


def test_views_and_intensities_stay_in_range_and_are_random(batch):
    torch.manual_seed(2)
    pairs, others = small(*batch), small(*batch)
    assert pairs.fixed.shape == pairs.moving.shape == (4, 1, 64, 64)
    assert pairs.field.shape == (4, 2, 64, 64)
    for image in (pairs.fixed, pairs.moving, pairs.aligned):
        assert 0 <= image.min() <= image.max() <= 1
    assert not torch.equal(pairs.fixed, others.fixed)
    assert set(pairs.inside.unique().tolist()) <= {0.0, 1.0}


def test_no_patient_is_in_both_training_and_validation(shared, monkeypatch):
    monkeypatch.setattr(slice_pairs, "_all_pairs", cache(slice_pairs._all_pairs))  # "all" takes those of each again
    for modality, held_out in {"ct": 2, "pet": 1, "spect": 3, "all": 6}.items():
        training, validation = load_pairs(shared / "data" / "aanlib", modality)
        assert not set(training.patient) & set(validation.patient)
        assert len(set(validation.patient)) == held_out
        assert training.fixed.shape[1:] == training.moving.shape[1:] == (1, 256, 256)


def test_slices_without_any_for_validation_are_rejected(tmp_path):
    save_ellipses(tmp_path)  # all of them to be trained on
    with pytest.raises(FusionError, match="none to validate on"):
        load_pairs(tmp_path, "ct", None)


@pytest.mark.parametrize("size", [(64, 40), (56, 64)])
def test_slices_that_the_network_cannot_halve_four_times_are_rejected(size, tmp_path):
    save_ellipses(tmp_path)
    arrays = dict(np.load(tmp_path / "ct.npz"))
    arrays |= {name: arrays[name][:, : size[0], : size[1]] for name in ("mri", "moving")}
    np.savez(tmp_path / "ct.npz", **arrays)
    with pytest.raises(FusionError, match=f"have {size[1]} x {size[0]} pixels; pad or crop"):
        load_pairs(tmp_path, "ct")


@pytest.mark.parametrize(
    ("content", "said"), [(b"PK no arrays", "cannot be read"), (b"", "cannot be read"), (None, "lacks id, split")]
)
def test_a_file_of_slices_that_is_damaged_or_lacks_some_is_rejected(content, said, tmp_path):
    if content is None:
        np.savez(tmp_path / "ct.npz", mri=np.zeros(1), moving=np.zeros(1))
    else:
        (tmp_path / "ct.npz").write_bytes(content)
    with pytest.raises(FusionError, match=said):
        load_pairs(tmp_path, "ct")


def test_every_fifth_patient_is_held_out():
    assert held_out_patients(np.array([7, 3, 3, 9, 1, 5, 11, 11])) == [1, 11]


def test_a_folder_without_slices_is_rejected(tmp_path):
    with pytest.raises(FusionError, match=r"pet\.npz"):
        load_pairs(tmp_path, "pet")


def perfect_registration(network: BSAFusion, pairs: UnalignedPairs) -> Registration:
    """Return the answer of a network whose reverse steps give the truth and whose forward steps are still."""
    registration = network.register(pairs.fixed, pairs.moving)
    fields: list[torch.Tensor] = []
    for field in registration.reverse_fields:
        size = field.shape[-2:]
        truth = losses.at_level(pairs.field, size)
        fields.append(truth - sum_of_fields(fields, size) if fields else truth)
    still = [torch.zeros_like(field) for field in fields]
    return registration._replace(reverse_fields=fields, forward_fields=still)


def test_the_supervision_vanishes_only_for_the_true_field(batch):
    torch.manual_seed(3)
    network = BSAFusion().eval()
    pairs = small(*batch)
    assert losses.supervision_loss(perfect_registration(network, pairs), pairs) < 0.1
    assert losses.supervision_loss(network.register(pairs.fixed, pairs.moving), pairs) > 1


def test_the_cross_entropy_of_offsets_is_least_where_the_true_one_is():
    target = torch.tensor([1.5, -2.5])[None, :, None, None].expand(1, 2, 4, 4)  # in half pixels, columns first
    inside = torch.ones(1, 1, 4, 4)
    scores = torch.zeros(1, 64, 4, 4)
    scores[:, (offsets(4) - target[0, :, :1, 0]).abs().sum(dim=0).argmin()] = 10
    right = losses.offset_cross_entropy(scores.log_softmax(dim=1), target, inside)
    wrong = losses.offset_cross_entropy(scores.flip(1).log_softmax(dim=1), target, inside)
    assert right < 0.01
    assert wrong > 9
    between = losses.offset_cross_entropy(scores.log_softmax(dim=1), target + 0.5, inside)
    assert right < between < wrong
    assert losses.offset_cross_entropy(scores.log_softmax(dim=1), 4 * target, inside) == 0  # out of reach: not judged


def test_every_modality_is_drawn_as_often_however_many_pairs_it_has():
    pairs = ellipses(40)
    pairs = replace(pairs, modality=np.array(["ct"] * 4 + ["pet"] * 36))
    torch.manual_seed(0)
    drawn = pairs.modality[pairs.draw(2000).numpy()]
    assert 0.45 < np.mean(drawn == "ct") < 0.55


def test_every_folder_of_a_modality_is_drawn_as_often(tmp_path):
    for name in ("atlas", "heads"):
        (tmp_path / name).mkdir()
        save_ellipses(tmp_path / name)
    training, validation = load_pairs([tmp_path / "atlas", tmp_path / "heads"], "ct")
    assert (len(training), len(validation)) == (8, 4)
    few = training.where((training.source == 0) | (np.arange(8) == 7))
    torch.manual_seed(0)
    drawn = few.source[few.draw(2000).numpy()]
    assert 0.45 < np.mean(drawn) < 0.55


def test_small_motions_are_as_likely_as_large_ones():
    torch.manual_seed(0)
    shifts = Simulator(elastic=0.0, rotation=0.0, stretch=0.0, smallest=0.01)
    whole = replace(shifts, smallest=1.0)
    lengths = []
    for simulator in (shifts, whole):
        torch.manual_seed(0)
        lengths.append(simulator.random_field(300, (8, 8), torch.device("cpu")).square().sum(1).sqrt().median())
    assert float(lengths[0]) == pytest.approx(0.1 * float(lengths[1]), rel=0.3)  # the middle of 0.01 and 1, by factors


def test_training_on_one_deformation_learns_it():
    shifts = Simulator(elastic=0.0, translation=6.0, rotation=0.0, stretch=0.0, vary=False)
    settings = TrainingSettings(steps=30, same_modality_steps=0, warm_up=5, learning_rate=2e-3, simulator=shifts)
    torch.manual_seed(0)
    trainer = Trainer(BSAFusion(), settings, Fabric(accelerator="cpu", devices=1))
    slices = ellipses(2).batch(torch.arange(2), torch.device("cpu"))
    terms = []
    for step in range(1, settings.steps + 1):
        trainer.step = step
        torch.manual_seed(7)  # the same deformation each time
        terms.append(trainer.learn(*slices)["supervision"].item())
        if terms[-1] < 0.5 * terms[0]:
            return
    pytest.fail(f"The distance to the true field went from {terms[0]:.2f} to {terms[-1]:.2f} alone.")


def test_validation_counts_the_steps_whose_units_are_zero_for_every_slice():
    torch.manual_seed(0)
    network, settings = BSAFusion(), TrainingSettings(simulator=small)
    assert validate(network, ellipses(2), settings)["dead_steps"] == 0
    for step in (network.bsfa.forward_steps[0], network.bsfa.reverse_steps[4]):
        torch.nn.init.constant_(step.joining[2].bias, -1e6)
    assert validate(network, ellipses(2), settings)["dead_steps"] == 2


@pytest.mark.parametrize(("fusion", "steps"), [(DEEP, 8), (LIGHT, 24)])  # the first few of a light one overshoot
def test_the_fusion_part_learns_alone(fusion, steps):
    torch.manual_seed(0)
    network = BSAFusion(Metadata(fusion=fusion))
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    settings = TrainingSettings(steps=0, fusion_steps=steps, warm_up=1, batch=2, simulator=small)
    trainer = Trainer(network, settings, Fabric(accelerator="cpu", devices=1))
    trainer.step = 1
    slices = ellipses(2).batch(torch.arange(2), torch.device("cpu"))
    terms = []
    for _ in range(steps):
        torch.manual_seed(7)  # the same deformation each time
        terms.append(trainer.learn(*slices)["fusion"].item())
    assert terms[-1] < 0.97 * terms[0]
    for name, parameter in trainer.network.module.named_parameters():
        assert torch.equal(parameter, before[name]) or name.startswith("mmff."), name


def test_the_fusion_loss_asks_for_the_anatomy_under_a_bright_slice():
    stripes = (torch.arange(64) // 4 % 2).float().expand(1, 1, 64, 64)
    fixed, bright = 0.2 + 0.4 * stripes, torch.full((1, 1, 64, 64), 0.9)
    covered = losses.fusion_loss(torch.maximum(fixed, bright), fixed, bright, intensity=0.1)
    seen_through = losses.fusion_loss(bright - 0.4 + 0.4 * stripes, fixed, bright, intensity=0.1)
    reversed_edges = losses.fusion_loss(bright - 0.4 * stripes, fixed, bright, intensity=0.1)
    assert seen_through < covered < reversed_edges


def test_the_dissimilarity_is_that_of_kornia(batch):
    fixed, moving = batch
    tall = fixed[..., 8:], moving[..., 8:]
    assert losses.dissimilarity(*tall).item() == pytest.approx(2 * ssim_loss(*tall, window_size=11).item(), abs=1e-5)


@pytest.mark.parametrize("fusion", [DEEP, LIGHT])
def test_weights_of_the_deep_fusion_begin_a_light_one_without_its_last_layers(tmp_path, fusion):
    torch.manual_seed(0)
    given = BSAFusion(Metadata(modality="ct"))
    torch.nn.init.normal_(given.mmff.reconstruction[-1].weight)
    save_network(tmp_path / "ct.safetensors", given, torch.float32)
    network = initial_network(Metadata(modality="pet", fusion=fusion), tmp_path / "ct.safetensors")
    before, after = given.state_dict(), network.state_dict()
    kept = [name for name in before if fusion == DEEP or not name.startswith(("mmff.shallow", "mmff.reconstruction"))]
    assert len(kept) > 100 and all(torch.equal(before[name], after[name]) for name in kept)
    assert network.mmff.reconstruction[-1].weight.any() == (fusion == DEEP)


def test_the_edges_lost_are_those_that_the_measure_of_fusion_misses(batch):
    fixed, moving = batch
    for fused in (fixed, (fixed + moving) / 2, torch.maximum(fixed, moving)):
        kept = [
            q_abf(*(image.mul(255).round().byte().numpy() for image in row))
            for row in zip(fixed[:, 0], moving[:, 0], fused[:, 0], strict=True)
        ]
        lost = losses.edges_lost(*(spatial_gradient(slices)[:, 0] for slices in (fixed, moving, fused)))
        assert lost.item() == pytest.approx(1 - np.mean(kept), abs=0.01)


def test_a_field_that_is_not_finite_stops_the_run_in_a_sentence(batch):
    network = BSAFusion()
    torch.nn.init.constant_(network.bsfa.top_down.joined[0][0].bias, torch.nan)
    trainer = Trainer(network, TrainingSettings(), Fabric(accelerator="cpu", devices=1))
    with pytest.raises(FusionError, match="not finite"):
        trainer.learn(*batch)


def test_the_averaged_registration_weights_stay_while_the_fusion_part_learns(tmp_path):
    pairs = ellipses(4)
    settings = TrainingSettings(steps=3, fusion_steps=2, batch=1, warm_up=1, mixed_precision=False, averaging=0.5)
    torch.manual_seed(5)
    trainer = Trainer(BSAFusion(), settings, Fabric(accelerator="cpu", devices=1))
    averages = []
    learn = trainer.learn
    trainer.learn = lambda *slices: (averages.append(weights_of(trainer.averaged)), learn(*slices))[1]
    trainer.train(pairs, pairs, tmp_path)
    registering, kept = averages[settings.steps], weights_of(trainer.averaged)
    assert not torch.equal(registering["bsfa"], averages[settings.steps - 1]["bsfa"])
    torch.testing.assert_close(kept["bsfa"], registering["bsfa"], atol=1e-7, rtol=1e-6)
    assert not torch.allclose(kept["mmff"], registering["mmff"])


def weights_of(network: BSAFusion) -> dict[str, torch.Tensor]:
    """Return the registering and the fusing parameters, as one row each."""
    return {
        name: torch.cat([parameter.detach().flatten().clone() for parameter in getattr(network, name).parameters()])
        for name in ("bsfa", "mmff")
    }


def test_a_resumed_run_continues_as_if_it_had_not_stopped(tmp_path):
    pairs = ellipses(6)
    settings = TrainingSettings(
        steps=2, fusion_steps=2, batch=2, warm_up=2, save_every=2, mixed_precision=False, simulator=small
    )

    def trainer() -> Trainer:
        torch.manual_seed(5)
        return Trainer(BSAFusion(), settings, Fabric(accelerator="cpu", devices=1))

    straight = trainer()
    straight.train(pairs, pairs, tmp_path)
    stopped = trainer()
    stopped.settings = replace(settings, fusion_steps=0)
    stopped.train(pairs, pairs, tmp_path)
    again = trainer()
    again.resume(tmp_path / CHECKPOINT)
    assert again.step == 2
    again.train(pairs, pairs, tmp_path)
    for own, other in zip(straight.averaged.parameters(), again.averaged.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=1e-5)


def test_a_run_is_resumed_with_its_own_settings_only(tmp_path):
    def trainer(modality: str = "ct", motion: float = 1.0, **settings) -> Trainer:
        network = BSAFusion(Metadata(modality=modality))
        chosen = TrainingSettings(simulator=Simulator(smallest=motion), **settings)
        return Trainer(network, chosen, Fabric(accelerator="cpu", devices=1))

    trainer(batch=2, steps=9).save(tmp_path / CHECKPOINT)
    for other, named in (
        ({"batch": 4, "steps": 9}, "batch 2, not 4"),
        ({"batch": 2, "steps": 10}, "steps 9, not 10"),
        ({"batch": 2, "steps": 9, "motion": 0.5}, "smallest 1.0, not 0.5"),
        ({"batch": 2, "steps": 9, "modality": "pet"}, "modality ct, not pet"),
    ):
        with pytest.raises(FusionError, match=f"was begun with {named}; resume it with the same"):
            trainer(**other).resume(tmp_path / CHECKPOINT)
    trainer(batch=2, steps=9, save_every=3, fusion_steps=1).resume(tmp_path / CHECKPOINT)


def test_a_run_is_resumed_with_its_own_fold_and_patients_only(tmp_path):
    pairs = ellipses(4)  # patients 0 to 3

    def trainer(fold: str, patients: int, slices: int = 4) -> Trainer:
        data = record_of(fold, pairs.where(pairs.patient < patients), pairs.where(np.arange(4) < slices))
        return Trainer(BSAFusion(), TrainingSettings(), Fabric(accelerator="cpu", devices=1), None, data)

    trainer("0", patients=2).save(tmp_path / CHECKPOINT)
    for other, named in (
        (("1", 2), "fold 0, not 1"),
        (("0", 3), r"patients trained on \[0, 1\], not \[0, 1, 2\]"),
        (("0", 2, 3), r"patients validated on \[0, 1, 2, 3\], not \[0, 1, 2\]"),
    ):
        with pytest.raises(FusionError, match=f"was begun with {named}; resume it with the same"):
            trainer(*other).resume(tmp_path / CHECKPOINT)
    resumed = trainer("0", patients=2)
    resumed.resume(tmp_path / CHECKPOINT)
    assert resumed.knows_patients
    assert resumed.started_from is None


def test_a_checkpoint_that_does_not_record_its_patients_is_resumed_as_weights_without_a_card(tmp_path):
    def trainer(started_from: dict | None = None, data: dict | None = None) -> Trainer:
        return Trainer(BSAFusion(), TrainingSettings(), Fabric(accelerator="cpu", devices=1), started_from, data)

    began = {"file": "all.safetensors", "patients": [3]}
    trainer(began).save(tmp_path / CHECKPOINT)
    resumed = trainer(data={"fold": "0"})
    resumed.resume(tmp_path / CHECKPOINT)
    assert not resumed.knows_patients
    assert resumed.started_from == {"file": CHECKPOINT, "started_from": began}


def test_the_command_leaves_weights_that_load_and_a_card_that_describes_them(tmp_path, capsys):
    save_ellipses(tmp_path)
    os.umask(umask := os.umask(0))
    out = tmp_path / "run"
    words = ["train", "--data", tmp_path, "--modality", "ct", "--out", out, "--steps", 1, "--batch", 1]
    words += ["--fusion-steps", 1]
    assert command_line.main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert "1 process to step 2: 4 pairs of 4 patients; validation: 2 pairs of 2 patients" in said.err
    assert "\r" not in said.err  # no terminal
    assert "step 2: loss " in said.out and "nan" not in said.out
    metadata = load_network(out / "ct.safetensors").metadata
    assert (metadata.modality, metadata.size) == ("ct", 64)
    assert {oct(path.stat().st_mode & 0o044) for path in out.glob("ct.*")} == {oct(0o044 & ~umask)}
    card = json.loads((out / "ct.json").read_text())
    assert card["validation"]["patients"] == [1, 6]
    assert card["validation"]["held_out"] == "patients, fold 0"
    assert card["training"]["patients"] == [2, 3, 4, 5]
    assert card["validation"]["simulated_deformations"]["error_before"] > 0
    assert command_line.main([str(word) for word in words] + ["--seed", "1"]) == 0  # over the earlier run's files
    for mistake in (["--steps", "-1"], ["--batch", "0"], ["--resume", str(out / CHECKPOINT), "--fold", "1"]):
        assert command_line.main([str(word) for word in words] + mistake) == 2
    assert "was begun with fold 0, not 1" in capsys.readouterr().err


def test_a_run_whose_fusion_part_saw_patients_names_them_also_when_it_is_resumed_without_that_part():
    pairs, synthetic = ellipses(4), TrainingSettings(steps=2, synthetic=1.0, fusion_steps=0)
    trainer = Trainer(BSAFusion(), synthetic, Fabric(accelerator="cpu", devices=1))
    for trainer.step, patients in ((2, []), (3, [0, 1, 2, 3])):
        assert trainer.learned_from(pairs).patient.tolist() == patients


@pytest.mark.parametrize(
    ("fold", "training", "described"),
    [
        ("0", {"patients": [3]}, "patients, fold 0"),
        ("0", {"patients": [3], "started_from": {"patients": [1, 2]}}, "slices of patients that were trained on"),
        ("none", {"patients": [1, 2, 3]}, "slices of patients that were trained on"),
        ("none", {"patients": [3]}, "patients that were not trained on"),
        ("none", {"patients": [1]}, "slices of patients that were trained on, and of patients that were not (2)"),
        (
            "0",
            {"patients": [3], "started_from": {"file": "all.safetensors"}},
            "patients, fold 0; what earlier training used is not known",
        ),
    ],
)
def test_a_card_calls_only_those_patients_held_out_that_were(fold, training, described):
    assert describe_validation(fold, training, {1, 2}) == described


def test_the_heads_that_are_only_reported_are_kept_out_of_training(tmp_path, capsys):
    refuse_reported([1, 912, 916])
    save_ellipses(tmp_path, patients=(1, 2, 3, 4, 5, 914))
    words = ["train", "--data", tmp_path, "--modality", "ct", "--out", tmp_path / "run"]
    words += ["--steps", 0, "--fusion-steps", 0]
    assert command_line.main([str(word) for word in words]) == 2
    assert "also of patients 914, the simulated heads 13, 14, 15" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_one_is_rejected(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"PK not a checkpoint")
    trainer = Trainer(BSAFusion(), TrainingSettings(), Fabric(accelerator="cpu", devices=1))
    with pytest.raises(FusionError, match="cannot be read"):
        trainer.resume(tmp_path / CHECKPOINT)
    torch.save({"something": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(FusionError, match="not a checkpoint of a training run"):
        trainer.resume(tmp_path / CHECKPOINT)


def test_synthetic_pairs_show_the_tissues_of_both_modalities(tmp_path):
    maps = np.zeros((3, 5, 64, 64), np.uint8)
    maps[:, 3, 20:44, 20:44] = 255  # nothing but skull
    np.savez(tmp_path / "labels.npz", tissues=["grey", "white", "fluid", "skull", "scalp"], maps=maps)
    torch.manual_seed(0)
    fixed, moving = load_label_slices(tmp_path / "labels.npz").draw(["ct"] * 4, torch.device("cpu"))
    assert fixed.shape == moving.shape == (4, 1, 64, 64)
    assert moving.amax(dim=(1, 2, 3)).min() > 0.8  # in CT skull is the brightest
    assert fixed.max() < 0.25  # in MRI it is dark


def test_tissue_maps_of_other_tissues_are_rejected(tmp_path):
    np.savez(tmp_path / "labels.npz", tissues=["water"], maps=np.zeros((1, 1, 8, 8), np.uint8))
    with pytest.raises(FusionError, match="other tissues"):
        load_label_slices(tmp_path / "labels.npz")
