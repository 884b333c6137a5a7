"""Shapes, conventions and equation (7) hold whatever the weights."""

import pytest
import torch

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.bsfa import CorrelationStep, sum_of_fields
from BSAFusionLib.network.factory import make_network
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.matching import LocalCorrelation, Match, offsets, to_unit_length
from BSAFusionLib.network.metadata import DEEP, LIGHT, PUBLISHED, Metadata
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.published.bsfa import sum_of_steps
from BSAFusionLib.network.published.layers import warp_as_published
from BSAFusionLib.network.sampling import warp


@pytest.fixture(scope="module", params=[Metadata(PUBLISHED), Metadata(), Metadata(fusion=LIGHT)], ids=repr)
def network(request) -> FusionNetwork:
    torch.manual_seed(0)
    return make_network(request.param).eval()


@torch.no_grad()
def test_sides_may_differ_and_be_any_multiple_of_16(network):
    torch.manual_seed(1)
    output = network(torch.rand(2, 1, 48, 80), torch.rand(2, 1, 48, 80))
    assert output.fused.shape == (2, 1, 48, 80)
    assert output.field.shape == (2, 2, 48, 80)
    # The exact layout registers the halved slices, bordered to multiples of 16: 24 x 40 become 32 x 48.
    published = network.metadata.convention == PUBLISHED
    finest, scales = ((48, 80), (16, 8, 4, 2, 1)) if published else ((32, 48), (16, 8, 4, 2, 2))
    sizes = [(finest[0] // scale, finest[1] // scale) for scale in scales]
    for fields in (output.registration.forward_fields, output.registration.reverse_fields):
        assert [field.shape for field in fields] == [(2, 2, *size) for size in sizes]
    assert output.fixed_logits.shape == output.moving_logits.shape == (2, 2)
    assert output.fused.min() >= 0
    assert output.fused.max() <= 1


@torch.no_grad()
def test_the_smallest_slice_is_of_16_pixels(network):
    assert network(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)).fused.shape == (1, 1, 16, 16)


@pytest.mark.parametrize("shape", [(1, 1, 40, 48), (1, 3, 48, 48), (1, 48, 48)])
def test_other_shapes_are_rejected(network, shape):
    with pytest.raises(ValueError, match=r"multiples of 16|shape"):
        network(torch.rand(shape), torch.rand(shape))


@torch.no_grad()
def test_a_pair_is_registered_the_same_alone_and_in_a_batch(network):
    torch.manual_seed(2)
    fixed, moving = torch.rand(3, 1, 32, 48), torch.rand(3, 1, 32, 48)
    together, alone = network(fixed, moving), network(fixed[1:2], moving[1:2])
    torch.testing.assert_close(together.field[1:2], alone.field, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.fused[1:2], alone.fused, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_the_composed_field_is_reverse_minus_forward_in_full_size_pixels(network):
    torch.manual_seed(6)
    registration = network.register(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32))
    reverse, ahead = (
        network.compose(fields, (32, 32)) for fields in (registration.reverse_fields, registration.forward_fields)
    )
    assert torch.equal(registration.field, reverse - ahead)


def test_a_step_counts_in_the_pixels_of_its_level():
    fields = [torch.full((1, 2, n, n), 0.5) for n in (1, 2, 4, 8, 16)]
    expected = torch.full((1, 2, 16, 16), 0.5 * (16 + 8 + 4 + 2 + 1))
    torch.testing.assert_close(sum_of_steps(fields, (16, 16)), expected)
    torch.testing.assert_close(sum_of_fields(fields, (16, 16)), expected)
    torch.testing.assert_close(sum_of_fields(fields[:2], (4, 4)), torch.full((1, 2, 4, 4), 0.5 * (4 + 2)))


def test_exact_sampling_moves_a_ramp_by_the_field_and_leaves_it_without_one():
    columns = torch.arange(8.0).expand(1, 1, 6, 8)
    field = torch.zeros(1, 2, 6, 8)
    torch.testing.assert_close(warp(columns, field), columns)
    field[:, 0] = 1.5
    torch.testing.assert_close(warp(columns, field), (columns + 1.5).clamp(max=7))
    field[:, 0], field[:, 1] = 0, 2
    rows = torch.arange(6.0)[:, None].expand(1, 1, 6, 8)
    torch.testing.assert_close(warp(rows, field), (rows + 2).clamp(max=5))


def test_published_sampling_without_a_field_zooms_about_the_center_by_half_a_pixel_at_the_border():
    columns = torch.arange(64.0).expand(1, 1, 64, 64)
    sampled = warp_as_published(columns, torch.zeros(1, 2, 64, 64))
    expected = (columns * 2 / 63 - 1 + 1) * 64 / 2 - 0.5
    torch.testing.assert_close(sampled[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=0)
    assert sampled[0, 0, 32, 1] - 1 == pytest.approx(-0.484, abs=1e-3)


def test_sampling_positions_stay_exact_in_half_precision():
    columns = torch.arange(256.0).expand(1, 1, 4, 256) / 256
    sampled = warp(columns, torch.full((1, 2, 4, 256), 0.25).bfloat16())
    torch.testing.assert_close(sampled[..., :-1], (columns + 0.25 / 256)[..., :-1], atol=1e-6, rtol=0)


def correlation_one_by_one(positions: torch.Tensor, candidates: torch.Tensor, radius: int) -> torch.Tensor:
    dense = torch.nn.functional.pixel_shuffle(candidates.permute(0, 3, 1, 2, 4, 5).flatten(1, 3), 2)
    padded = torch.nn.functional.pad(dense, [2 * radius] * 4)
    height, width = positions.shape[-2:]
    planes = []
    for row in range(1 - radius, radius + 1):
        for column in range(1 - radius, radius + 1):
            top, left = row + 2 * radius, column + 2 * radius
            window = padded[..., top : top + 2 * height : 2, left : left + 2 * width : 2]
            planes.append((positions * window).sum(dim=1))
    return torch.stack(planes, dim=1)


@pytest.mark.parametrize("radius", [2, 3])
def test_the_local_correlation_and_its_gradient_are_those_of_the_products_one_by_one(radius):
    torch.manual_seed(5)
    maps = [torch.randn(2, 5, 6, 8, requires_grad=True), torch.randn(2, 2, 2, 5, 6, 8, requires_grad=True)]
    own, plain = LocalCorrelation.apply(*maps, radius), correlation_one_by_one(*maps, radius)
    torch.testing.assert_close(own, plain, atol=1e-5, rtol=0)
    weights = torch.randn_like(own)
    gradients, expected = (torch.autograd.grad((x * weights).sum(), maps) for x in (own, plain))
    torch.testing.assert_close(gradients, expected, atol=1e-4, rtol=1e-4)


def test_the_best_offset_is_where_the_other_map_has_gone():
    torch.manual_seed(3)
    dense = torch.randn(1, 8, 32, 32)  # candidates: every half pixel
    moving = torch.roll(dense, shifts=(1, -2), dims=(2, 3)).unflatten(2, (16, 2)).unflatten(4, (16, 2))
    candidates = to_unit_length(moving.permute(0, 3, 5, 1, 2, 4))
    positions = to_unit_length(dense[..., ::2, ::2][:, None, None])[:, 0, 0]  # the upper left of each pixel's four
    best = LocalCorrelation.apply(positions, candidates, 3).argmax(dim=1)[0, 4:12, 4:12]
    expected = offsets(3) - torch.tensor([[-2 - 0.5], [1 - 0.5]])  # that one lies half a step from the center
    assert torch.equal(best, torch.full_like(best, expected.abs().sum(dim=0).argmin().item()))


@torch.no_grad()
def test_a_step_estimates_where_its_match_points_and_how_precisely():
    torch.manual_seed(7)
    step = CorrelationStep(8, radius=4, with_stream=False).eval()
    blank = torch.zeros(1, 8, 16, 16)
    nothing = torch.zeros(1, 64, 16, 16).log_softmax(dim=1)
    unsure, _ = step(Match(nothing, nothing).moments(4), blank, blank, None)
    assert unsure.mean.abs().max() < 0.05
    to_the_right = torch.zeros(1, 64, 16, 16)
    to_the_right[:, [3 * 8 + 7, 4 * 8 + 7]] = 20  # 3.5 half pixels on, half of one up and half of one down
    certain = to_the_right.log_softmax(dim=1)
    estimate, _ = step(Match(certain, certain).moments(4), blank, blank, None)
    assert estimate.mean[0, 0, 4:-4, 4:-4].mean() == pytest.approx(3.5 / 2, abs=0.1)
    assert estimate.mean[0, 1, 4:-4, 4:-4].abs().max() < 0.1
    xx, yy, _ = estimate.precision[0, :, 4:-4, 4:-4].mean(dim=(1, 2))
    assert xx > yy > 5 * unsure.precision[:, :2].max()  # it lies in one column, but may be in either of two rows


def test_the_discriminator_learns_only_by_becoming_the_classifier(network):
    assert not any(p.requires_grad for p in network.mdf_fr.discriminator.parameters())
    network.mdf_fr.renew_discriminator()
    for own, copy in zip(
        network.mdf_fr.classifier.parameters(), network.mdf_fr.discriminator.parameters(), strict=True
    ):
        assert torch.equal(own, copy)
        assert own is not copy


def test_the_exact_fusion_starts_as_the_larger_of_the_aligned_pixels():
    torch.manual_seed(4)
    network = BSAFusion(Metadata(fusion=DEEP)).eval()
    fixed, moving = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        output = network(fixed, moving)
    torch.testing.assert_close(
        output.fused, torch.maximum(fixed, warp(moving, output.field)).clamp(1e-3, 1 - 1e-3), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_the_light_fusion_starts_as_a_mean_that_leans_to_the_larger_of_the_aligned_pixels():
    torch.manual_seed(4)
    network = BSAFusion(Metadata(fusion=LIGHT)).eval()
    fixed, moving = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    fused = network.fuse(fixed, moving)
    assert (fused > (fixed + moving) / 2).all()
    assert (fused < torch.maximum(fixed, moving)).all()
    torch.testing.assert_close(fused, network.fuse(moving, fixed))


@torch.no_grad()
def test_the_light_fusion_clamps_only_what_it_is_not_taught_by():
    network = BSAFusion(Metadata(fusion=LIGHT)).eval()
    network.mmff.reconstruction[-1].bias[4:] = 2.0  # added to every pixel
    slices = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    assert (network.fuse(*slices) == 1).all()
    assert (network.train().fuse(*slices) > 1).all()


@torch.no_grad()
def test_the_light_fusion_changes_only_pixels_near_a_change():
    torch.manual_seed(5)
    network = BSAFusion(Metadata(fusion=LIGHT)).eval()
    torch.nn.init.normal_(network.mmff.reconstruction[-1].weight)
    coarser, fixed, moving = torch.rand(1, 12, 16, 16), torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64)
    other = fixed.clone()
    other[..., 32, 32] = 1 - other[..., 32, 32]
    pair = [network.mmff.reconstruct(coarser, (slices, moving)) for slices in (fixed, other)]
    rows, columns = torch.nonzero((pair[0] - pair[1])[0, 0].abs() > 1e-6).T
    assert min(rows.min(), columns.min()) >= 32 - 8 and max(rows.max(), columns.max()) <= 33 + 8
    assert pair[0][0, 0, 32, 32] != pair[1][0, 0, 32, 32]


def test_an_unknown_or_another_layouts_convention_is_rejected():
    with pytest.raises(ValueError, match="convention"):
        Metadata("theirs")
    with pytest.raises(ValueError, match="fusion must be one of deep, light, not 'heavy'"):
        Metadata(fusion="heavy")
    with pytest.raises(ValueError, match="PublishedBSAFusion runs 'published' weights, not 'exact'"):
        PublishedBSAFusion(Metadata("exact"))
