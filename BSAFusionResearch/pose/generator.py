"""Makes training images for the head network: labeled heads of random contrast, body, pose and field of view."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from BSAFusionLib.head_pose.channels import channels_of
from BSAFusionResearch.pose.heads import CODES, SPACING_MM, Head
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, CONTRASTS, TISSUES, TRACERS, values_of
from BSAFusionResearch.simulation.tissues import CODES as CODE_OF

GRID_MM = 6.0
FAT_AND_MUSCLE, FAT, MUSCLE, FLUID = CODE_OF["fat and muscle"], CODE_OF["fat"], CODE_OF["muscle"], CODE_OF["ventricles"]
MODALITIES = ("random", "mri", "ct", "ct window", "pet", "spect")
MODALITY_SHARES = (0.3, 0.22, 0.14, 0.12, 0.14, 0.08)


@dataclass(frozen=True)
class Example:
    """One training image.

    Attributes:
        channels: (3, D, H, W), the network's input at 6 mm.
        brain: (D/2, H/2, W/2) share of brain in each cell.
        coordinate: (3, D/2, H/2, W/2) place of each cell's center in the standard head, mm LPS.
        standard_from_image: (3, 4) affine from image points (mm, the grid's center is the origin) to standard points.
    """

    channels: torch.Tensor
    brain: torch.Tensor
    coordinate: torch.Tensor
    standard_from_image: np.ndarray


@dataclass(frozen=True)
class Difficulty:
    """How far the images depart from an upright head.

    Attributes:
        any_rotation: share of heads turned in any way.
        tilt_deg: largest rotation of the others, degrees.
        modality: one of MODALITIES; None draws one.
        torso: share of images that show a body below the head where the grid has room for it.
        no_head: share of images without a head: a body below the neck, balls and boxes, smooth noise.
        stretch: largest logarithm by which a direction is stretched, beside the size of the whole head.
        bend_mm: largest deviation of the smooth warp.
        size: factor of the whole head; None draws one.
    """

    any_rotation: float = 0.15
    tilt_deg: float = 35.0
    modality: str | None = None
    torso: float = 0.35
    no_head: float = 0.0
    stretch: float = 0.05
    bend_mm: float = 3.0
    size: float | None = None


class Dice:
    """Random numbers from one numpy and one torch generator, both of which a checkpoint can keep."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.torch = torch.Generator().manual_seed(seed)

    def state(self) -> dict:
        """Return what `restore` takes."""
        return {"numpy": self.rng.bit_generator.state, "torch": self.torch.get_state()}

    def restore(self, state: dict) -> None:
        """Continue where `state` was taken."""
        self.rng.bit_generator.state = state["numpy"]
        self.torch.set_state(state["torch"])

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """Draw a number between two limits, uniformly."""
        return float(self.rng.uniform(low, high))

    def log_between(self, low: float, high: float) -> float:
        """Draw a number between two limits, uniformly in its logarithm."""
        return math.exp(self.between(math.log(low), math.log(high)))

    def normal(self, *shape: int) -> torch.Tensor:
        """Draw a tensor of standard normal numbers."""
        return torch.randn(shape, generator=self.torch)

    def smooth(self, shape: tuple[int, ...], nodes: int, count: int = 1) -> torch.Tensor:
        """Return `count` smooth fields of (D, H, W) with values of about unit deviation."""
        coarse = self.normal(1, count, nodes, nodes, nodes)
        return F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0] * 1.5


@dataclass(frozen=True)
class Scene:
    """One simulated image with its truth, before the network's channels are made of it.

    Attributes:
        image: (D, H, W) intensities.
        brain: (D, H, W) share of brain that the field of view shows.
        head_points: (D, H, W, 3) each voxel's place in the head's own space, mm LPS.
        standard_from_image: (3, 4) affine from image points (mm, the grid's center is the origin) to standard points,
            without the smooth warp.
    """

    image: torch.Tensor
    brain: torch.Tensor
    head_points: torch.Tensor
    standard_from_image: np.ndarray


@dataclass(frozen=True)
class SampledHead:
    """A head's intensities on the image's grid, with no body below it yet.

    Attributes:
        image: (D, H, W) intensities; the labels' lowest slice is repeated below it.
        points: (D, H, W, 3) each voxel's place in the head's own space, mm LPS.
        bottom: z of the lowest slice that the labels hold, mm.
        air: value of air.
        modality: one of MODALITIES.
    """

    image: torch.Tensor
    points: torch.Tensor
    bottom: float
    air: float
    modality: str


def make_scene(
    head: Head, shape: tuple[int, int, int], dice: Dice, difficulty: Difficulty, spacing: float = GRID_MM
) -> Scene:
    """Simulate one image of a head.

    Args:
        head: a labeled head.
        shape: (D, H, W) of the image in voxels.
        dice: the random numbers.
        difficulty: how far the image departs from an upright head.
        spacing: of the voxels, mm.
    """
    modality = difficulty.modality or str(dice.rng.choice(MODALITIES, p=MODALITY_SHARES))
    tissue_image, brain_image, air = draw_tissues(head, modality, dice)
    field_of_view = np.array(shape[::-1]) * spacing
    matrix, shift = draw_pose(head, field_of_view, dice, difficulty)
    points = grid_points(shape, spacing)
    bend = dice.smooth(shape, 4, 3).movedim(0, -1) * dice.between(0, difficulty.bend_mm)
    bent = points @ matrix.T + shift + bend
    index = (bent - torch.tensor(head.origin, dtype=torch.float32)) / SPACING_MM
    size = torch.tensor(tissue_image.shape[::-1], dtype=torch.float32)
    sampled = F.grid_sample(
        torch.stack([tissue_image, brain_image])[None],
        ((2 * index + 1) / size - 1)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0]
    sampled_head = SampledHead(sampled[0], bent, float(head.origin[2]), air, modality)
    brain = sampled[1] * (bent[..., 2] > sampled_head.bottom)
    if dice.chance(difficulty.no_head):
        image, brain = draw_no_head(sampled_head, dice, difficulty), torch.zeros_like(brain)
    else:
        image = draw_body(sampled_head, dice, difficulty)
    if modality in ("ct", "ct window"):
        image = add_table(image, points, field_of_view, dice)
    image, seen = draw_scanner(image, brain, points, air, modality, dice)
    return Scene(image, brain * seen, bent, standard_affine(head, matrix.numpy(), shift.numpy()))


def make_example(head: Head, shape: tuple[int, int, int], dice: Dice, difficulty: Difficulty) -> Example:
    """Make one training image of a head.

    Args:
        head: a labeled head.
        shape: (D, H, W) of the image in voxels of 6 mm, even.
        dice: the random numbers.
        difficulty: how far the image departs from an upright head.

    Returns:
        The image and its truth.
    """
    scene = make_scene(head, shape, dice, difficulty)
    cells = F.avg_pool3d(torch.cat([scene.brain[None], scene.head_points.movedim(-1, 0)])[None], 2)[0]
    to_standard = head.to_standard
    rotation = torch.tensor(to_standard.scale * to_standard.rotation, dtype=torch.float32)
    coordinate = torch.einsum("ij,jdhw->idhw", rotation, cells[1:])
    coordinate += torch.tensor(to_standard.shift, dtype=torch.float32)[:, None, None, None]
    example = Example(channels_of(scene.image), cells[0], coordinate, scene.standard_from_image)
    return mirrored(example) if dice.chance(0.5) else example


def mirrored(example: Example) -> Example:
    """Exchange left and right, of the image and of the standard head."""
    flip = np.array([-1.0, 1, 1])
    affine = example.standard_from_image * np.append(flip, 1) * flip[:, None]
    coordinate = example.coordinate.flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None, None]
    return Example(example.channels.flip(-1), example.brain.flip(-1), coordinate, affine)


def standard_affine(head: Head, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Compose image to head and head to standard into one (3, 4) affine."""
    to_standard = head.to_standard
    linear = to_standard.scale * to_standard.rotation @ matrix
    return np.column_stack([linear, to_standard(shift[None])[0]])


def grid_points(shape: tuple[int, int, int], spacing: float = GRID_MM) -> torch.Tensor:
    """Return (D, H, W, 3) voxel centers (x, y, z) in mm; the grid's center is the origin."""
    axes = [(torch.arange(length) - (length - 1) / 2) * spacing for length in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], -1)


# ---------------------------------------------------------------------------------------------------------------------
# Tissue values


def draw_values(modality: str, dice: Dice) -> tuple[np.ndarray, float]:
    """Draw a value per tissue (codes of the simulation) and the value of air."""
    if modality == "random":
        values = dice.rng.uniform(0.05, 1.0, len(TISSUES))
        if dice.chance(0.5):  # gray matter alike, white matter alike, fluid alike: as in most scans
            values[[2, 4, 5, 6, 7, 8, 9, 10, 11]] = values[2] * dice.rng.uniform(0.85, 1.15, 9)
            values[[3, 12, 13, 25]] = values[1] * dice.rng.uniform(0.85, 1.15, 4)
            values[15] = values[FLUID]
        air = 0.0 if dice.chance(0.85) else dice.between(0, 1)
        values[0] = air
        return values, air
    if modality in ("ct", "ct window"):
        values = np.array(values_of("ct"), dtype=float)
        soft = np.abs(values) < 200
        values[soft] += dice.rng.normal(0, 4, soft.sum())
        values[~soft] *= dice.rng.normal(1, 0.12, (~soft).sum())
        values[0] = -1000
        if dice.chance(0.3):  # contrast agent
            values[[17, 18]] += dice.between(50, 300)
        return values, -1000.0
    column = {"mri": CONTRASTS, "pet": TRACERS["pet"], "spect": TRACERS["spect"]}[modality]
    usual = {"mri": (0.4, 0.25, 0.2, 0.15), "pet": (0.6, 0.15, 0.15, 0.1), "spect": (0.75, 0.25)}[modality]
    values = np.array(values_of(str(dice.rng.choice(column, p=usual))), dtype=float)
    values *= np.exp(dice.rng.normal(0, dice.between(0.03, 0.3), len(values)))
    values[0] = 0
    if modality == "mri" and dice.chance(0.15):  # contrast agent
        values[[17, 18, 23]] = dice.between(0.8, 1.6)
    return values, 0.0


def draw_tissues(head: Head, modality: str, dice: Dice) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return the head's intensities and its share of brain on the 4 mm grid, and the value of air."""
    values, air = draw_values(modality, dice)
    shape = tuple(head.fractions.shape[1:])
    weights = torch.zeros(3, CODES)
    weights[0] = torch.tensor(values[:CODES], dtype=torch.float32)
    weights[0, FAT_AND_MUSCLE] = values[FAT]
    weights[1, list(BRAIN_CODES)] = 1
    weights[2, 15] = 1
    image, brain, fluid = torch.einsum("kc,cdhw->kdhw", weights, head.fractions)
    muscle = torch.sigmoid(3 * dice.smooth(shape, 9)[0])
    image = image + head.fractions[FAT_AND_MUSCLE] * muscle * float(values[MUSCLE] - values[FAT])
    if modality == "mri" or modality == "random":
        if dice.chance(0.15):  # skull-stripped
            kept = (brain + fluid * dice.between(0, 1)).clamp(0, 1)
            image = air + (image - air) * (kept > 0.4)
        elif dice.chance(0.08):  # defaced: nothing in front of a tilted plane through the eyes
            image = deface(image, head, air, dice)
    if modality not in ("ct", "ct window"):
        image = air + (image - air) * torch.exp(dice.between(0.03, 0.12) * dice.smooth(shape, 12)[0])
    if dice.chance(0.08):
        image = add_lesion(image, brain, air, modality, values, dice)
    fwhm = {"pet": (3, 9), "spect": (7, 14), "random": (0, 8)}.get(modality, (0, 3))
    sigma = dice.between(*fwhm) / 2.355 / SPACING_MM
    return smoothed(image, (sigma, sigma, sigma)), brain, air


def deface(image: torch.Tensor, head: Head, air: float, dice: Dice) -> torch.Tensor:
    """Replace what lies in front of a tilted plane by air."""
    axes = [head.origin[2 - i] + SPACING_MM * np.arange(image.shape[i]) for i in range(3)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    points = head.to_standard(np.stack([x, y, z], -1).reshape(-1, 3)).reshape(*image.shape, 3)
    front = points[..., 1] + dice.between(0.3, 0.9) * (points[..., 2] + 15) < -dice.between(62, 80)
    return torch.where(torch.from_numpy(front), torch.tensor(air), image)


def add_lesion(
    image: torch.Tensor, brain: torch.Tensor, air: float, modality: str, values: np.ndarray, dice: Dice
) -> torch.Tensor:
    """Put a round lesion of a random tissue's value into the brain."""
    where = torch.nonzero(brain > 0.9)
    if not len(where):
        return image
    center = where[int(dice.rng.integers(len(where)))].float()
    axes = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in image.shape], indexing="ij")
    distance = torch.stack([a - c for a, c in zip(axes, center, strict=True)]).square().sum(0).sqrt() * SPACING_MM
    soft = torch.sigmoid((dice.between(6, 28) - distance) / 3) * (brain > 0.3)
    value = float(values[int(dice.rng.integers(1, len(values)))])
    return image + (value - image) * soft


# ---------------------------------------------------------------------------------------------------------------------
# Pose and field of view


def draw_pose(
    head: Head, field_of_view: np.ndarray, dice: Dice, difficulty: Difficulty
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the affine from image points to the head's own points, as (3, 3) and (3,).

    Args:
        head: a labeled head.
        field_of_view: (3,) its lengths along x, y and z, mm.
        dice: the random numbers.
        difficulty: rotations and stretch are used.
    """
    angle = difficulty.tilt_deg * dice.rng.random()
    rotation = rotation_of(dice.rng.normal(size=3), angle)
    if dice.chance(difficulty.any_rotation):
        rotation = random_rotation(dice.rng)
    upright = head.to_standard.rotation.T  # from the standard head's axes to the head's own
    stretch = np.exp(dice.rng.uniform(-difficulty.stretch, difficulty.stretch, 3)) * (
        difficulty.size or dice.log_between(0.86, 1.27)
    )
    standard_from_image = np.diag(1 / stretch) @ rotation
    linear = upright @ standard_from_image
    center = (np.zeros(3) - head.to_standard.shift) @ head.to_standard.rotation / head.to_standard.scale
    room = field_of_view / 2
    free = np.maximum(room - [70, 85, 65], 0)
    spread = np.minimum(free + 22, 40)
    place = dice.rng.uniform(-1, 1, 3) * spread  # of the brain's center in the image
    down = rotation.T @ [0, 0, -1.0]
    if room.max() > 190:  # where there is room for a body the head lies towards its own upper end
        place = -down * np.maximum(np.abs(down) @ room - dice.between(80, 180), 0) * dice.between(0.3, 1)
        place = place + dice.rng.uniform(-1, 1, 3) * np.minimum(free * 0.5, 60)
    return torch.tensor(linear, dtype=torch.float32), torch.tensor(center - linear @ place, dtype=torch.float32)


def rotation_of(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Return the rotation about an axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation evenly among all."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


# ---------------------------------------------------------------------------------------------------------------------
# Body and table


def draw_body(head: SampledHead, dice: Dice, difficulty: Difficulty) -> torch.Tensor:
    """Draw what lies below the head: nothing, more neck, or a torso with organs.

    Args:
        head: the head on the image's grid.
        dice: the random numbers.
        difficulty: `torso` is used.

    Returns:
        The image (D, H, W) of the head with its body.
    """
    image, bottom, air = head.image, head.bottom, head.air
    x, y, z = head.points.unbind(-1)
    if not dice.chance(difficulty.torso):
        if dice.chance(0.6):  # the neck ends where the labels end, or above
            end = bottom + dice.between(-30, 25)
            return torch.where(z < end, torch.tensor(air), image)
        return image
    values, _ = draw_values(head.modality, dice)
    scale = dice.between(0.85, 1.2)
    neck = bottom - dice.between(0, 40)
    below = neck - z  # how far below the neck
    share = torch.sigmoid((below - dice.between(30, 60)) / dice.between(8, 20))
    half_width = (55 + share * dice.between(100, 175)) * scale
    half_depth = (55 + share * dice.between(35, 85)) * scale
    middle_y = dice.between(0, 30) + share * dice.between(-20, 20)
    radius = ((x / half_width).abs() ** 2.5 + ((y - middle_y) / half_depth).abs() ** 2.5) ** 0.4
    mix = torch.sigmoid(4 * dice.smooth(tuple(image.shape), 10)[0] + 8 * (0.85 - radius))
    body = values[FAT] + mix * float(values[MUSCLE] - values[FAT])

    body = draw_organs(body, (x, y - middle_y, -below), scale, values, head.modality, dice)
    body = torch.where(radius < 1, body, torch.tensor(air))
    if dice.chance(0.3):
        up = dice.chance(0.3)
        arms = find_arms(x, y - middle_y, below, float(half_width.max()), up, dice)
        body = torch.where(arms, torch.tensor(float(values[MUSCLE])), body)
        if up:
            image = torch.where(arms & (below <= 0), torch.tensor(float(values[MUSCLE])), image)
    blend = torch.sigmoid(below / 8)
    return image * (1 - blend) + body * blend


def draw_organs(
    body: torch.Tensor,
    coordinates: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    scale: float,
    values: np.ndarray,
    modality: str,
    dice: Dice,
) -> torch.Tensor:
    """Draw organs, a hot gland and the spine into a body.

    Args:
        body: (D, H, W).
        coordinates: of its voxels: to the right, behind the middle and above the neck, mm.
        scale: of the body.
        values: of the tissues.
        modality: one of MODALITIES.
        dice: the random numbers.
    """

    def put(name: str, center: tuple[float, float, float], axes: tuple[float, float, float], value=None):
        nonlocal body
        distance = sum(((c - m * scale) / (a * scale)) ** 2 for c, m, a in zip(coordinates, center, axes, strict=True))
        filled = float(values[CODE_OF[name]]) if value is None else value
        body = torch.where(distance < 1, torch.tensor(filled), body)

    jitter = dice.rng.uniform(0.8, 1.2, 24)
    put("lung", (-75 * jitter[0], 0, -190), (60, 75, 130 * jitter[1]))
    put("lung", (75 * jitter[0], 0, -190), (60, 75, 130 * jitter[2]))
    put("heart", (25, -25, -220 * jitter[3]), (50, 45, 55), None)
    put("liver", (-65, 0, -350 * jitter[4]), (95, 80, 80), None)
    put("kidney", (-60, 50, -430 * jitter[5]), (28, 28, 55), None)
    put("kidney", (60, 50, -430 * jitter[5]), (28, 28, 55), None)
    put("bladder", (0, -20, -640 * jitter[6]), (40, 40, 40), None)
    if modality in ("pet", "spect", "random") and dice.chance(0.3):
        high = float(np.max(values)) * dice.log_between(1.5, 15)
        put(
            "gland",
            tuple(dice.rng.uniform([-120, -60, -400], [120, 60, -20])),
            tuple(dice.rng.uniform(15, 60, 3)),
            high,
        )
    put("marrow", (0, 55, -300), (18, 18, 1000))
    put("cortical bone", (0, 80, -300), (6, 14, 1000))
    return body


def find_arms(
    x: torch.Tensor, depth: torch.Tensor, below: torch.Tensor, half_width: float, up: bool, dice: Dice
) -> torch.Tensor:
    """Return where the arms are: beside the body, or up beside the head.

    Args:
        x: distance to the right or left, mm.
        depth: distance behind the middle of the body, mm.
        below: distance below the neck, mm.
        half_width: of the body, mm.
        up: whether the arms are up.
        dice: the random numbers.
    """
    side = half_width + 45 if not up else dice.between(120, 190)
    arms = ((x.abs() - side) ** 2 + (depth - 10) ** 2).sqrt() < dice.between(28, 48)
    return arms & ((below > 40) if not up else (below > -dice.between(100, 400)))


def draw_no_head(head: SampledHead, dice: Dice, difficulty: Difficulty) -> torch.Tensor:
    """Draw something that is no head, on the grid of one; arguments as those of `draw_body`."""
    points, air = head.points, head.air
    values, _ = draw_values(head.modality, dice)
    shape = tuple(head.image.shape)
    kind = dice.rng.random()
    if kind < 0.4:  # a body, cut below the head, seen at its own height
        lowered = points - torch.tensor([0.0, 0.0, dice.between(60, 350)])
        body = draw_body(replace(head, points=lowered), dice, replace(difficulty, torso=1.0))
        return torch.where(lowered[..., 2] > head.bottom - dice.between(0, 60), torch.tensor(air), body)
    if kind < 0.8:  # balls and boxes, one in another, with a smooth texture
        result = torch.full(shape, air)
        size, center = (
            dice.between(50, 130),
            points.mean((0, 1, 2)) + torch.tensor(dice.rng.uniform(-30, 30, 3)).float(),
        )
        power = dice.log_between(2, 8)
        for _ in range(int(dice.rng.integers(1, 6))):
            axes = torch.tensor(size * dice.rng.uniform(0.7, 1.3, 3)).float()
            inside = (((points - center) / axes).abs() ** power).sum(-1) < 1
            filled = float(dice.rng.choice(values[1:]))
            texture = torch.exp(dice.between(0, 0.5) * dice.smooth(shape, int(dice.rng.integers(4, 16)))[0])
            result = torch.where(inside, air + (filled - air) * texture, result)
            size = size * dice.between(0.5, 0.97)
            center = center + torch.tensor(dice.rng.uniform(-20, 20, 3)).float()
        return result
    field = dice.smooth(shape, int(dice.rng.integers(3, 14)))[0]
    low, high = np.sort(dice.rng.choice(values[1:], 2))
    mixed = float(low) + torch.sigmoid(dice.between(1, 8) * field) * float(high - low)
    return torch.where(field > dice.between(-3, 0.5), mixed, torch.tensor(air))


def add_table(image: torch.Tensor, points: torch.Tensor, field_of_view: np.ndarray, dice: Dice) -> torch.Tensor:
    """Put a patient table or head holder under the head, in the scanner's own axes."""
    if not dice.chance(0.45):
        return image
    x, y, _ = points.unbind(-1)
    height = dice.between(70, field_of_view[1] / 2)
    curve = dice.between(0, 0.004) * x**2
    plate = ((y - height + curve).abs() < dice.between(4, 12)) & (x.abs() < dice.between(60, 260))
    return torch.where(plate & (image < -500), torch.tensor(dice.between(-850, 150)), image)


# ---------------------------------------------------------------------------------------------------------------------
# Scanner


def draw_scanner(
    image: torch.Tensor, brain: torch.Tensor, points: torch.Tensor, air: float, modality: str, dice: Dice
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add hot spots, bias, noise, slice thickness, window and a cut field of view.

    Returns:
        The image, and 1 where the field of view shows it.
    """
    shape = tuple(image.shape)
    room = points.abs().amax((0, 1, 2))
    in_brain = image[brain > 0.5]
    typical = float((in_brain - air).abs().mean()) + 1e-3 if len(in_brain) else 1.0
    if dice.chance(0.25 if modality in ("pet", "spect") else 0.06):
        image = add_hot_spots(image, brain, points, typical, dice)
    if modality in ("mri", "random"):
        image = air + (image - air) * coil(points, room, shape, dice)
    if dice.chance(0.3):  # thick slices, and what else blurs one axis
        sigmas = [0.0, 0.0, 0.0]
        sigmas[int(dice.rng.integers(3))] = dice.between(0.3, 1.3)
        image = smoothed(image, tuple(sigmas))
    image = add_noise(image, air, typical, modality, dice)
    if modality == "ct window":
        center, width = dice.between(20, 60), dice.log_between(60, 600)
        image = image.clamp(center - width / 2, center + width / 2)
    outside = {"ct": float(dice.rng.choice([-1024, -1000, -2000, -3024])), "ct window": float(image.min())}.get(
        modality, air
    )
    image, seen = cut_view(image, points, room, outside, dice)
    if dice.chance(0.03):
        image = -image
    return image, seen


def add_noise(image: torch.Tensor, air: float, typical: float, modality: str, dice: Dice) -> torch.Tensor:
    """Add a scanner's noise: Rician-like for MRI, growing with activity for PET and SPECT."""
    shape = tuple(image.shape)
    level = {"ct": 8.0, "ct window": 8.0}.get(modality, typical * 0.12) * dice.log_between(0.05, 2.5)
    noise = dice.normal(*shape) * level
    empty = image - air
    if modality in ("pet", "spect"):
        noise = smoothed(noise, (0.6, 0.6, 0.6)) * 2
        noise = noise * ((image - air).clamp(min=0) / typical + 0.02).sqrt()
    image = image + noise
    if modality in ("mri", "random") and air == 0:
        image = (image.square() + (dice.normal(*shape) * level).square()).sqrt()
    if modality in ("pet", "spect") and dice.chance(0.7):
        image = image.clamp(min=0)
    if dice.chance(0.4):  # no noise in the air
        if modality in ("ct", "ct window"):
            image = image.clamp(min=air)
        else:
            image = torch.where(empty.abs() < 0.02 * typical, torch.tensor(air), image)
    return image


def cut_view(
    image: torch.Tensor, points: torch.Tensor, room: torch.Tensor, outside: float, dice: Dice
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave a round view, a slab or a box of an image; the rest becomes `outside`.

    Returns:
        The image, and 1 where the view shows it.
    """
    seen = torch.ones(tuple(image.shape))
    if dice.chance(0.2):  # a round field of view
        seen = seen * (points[..., :2].square().sum(-1).sqrt() < dice.between(0.9, 1.05) * float(room[:2].max()))
    if dice.chance(0.25):  # a slab, or a box that leaves something out
        for axis in range(3):
            if dice.chance(0.45):
                half = float(room[axis])
                low = -half - 6 + dice.between(0, 0.6) * half * dice.rng.integers(0, 2)
                high = half + 6 - dice.between(0, 0.6) * half * dice.rng.integers(0, 2)
                seen = seen * ((points[..., axis] > low) & (points[..., axis] < high))
    return torch.where(seen > 0, image, torch.tensor(outside)), seen


def add_hot_spots(
    image: torch.Tensor, brain: torch.Tensor, points: torch.Tensor, typical: float, dice: Dice
) -> torch.Tensor:
    """Put up to three balls outside the brain, up to 30 times as hot as it."""
    outside = torch.nonzero((brain < 0.05) & (image > typical * 0.03))
    if not len(outside):
        return image
    for _ in range(int(dice.rng.integers(1, 4))):
        z, y, x = outside[int(dice.rng.integers(len(outside)))]
        distance = (points - points[z, y, x]).square().sum(-1).sqrt()
        soft = torch.sigmoid((dice.between(4, 30) - distance) / 4)
        image = image + soft * typical * dice.log_between(1.5, 30)
    return image


def coil(points: torch.Tensor, room: torch.Tensor, shape: tuple[int, ...], dice: Dice) -> torch.Tensor:
    """Return a receive sensitivity: smooth bias, and in some a ramp of up to 10 : 1 from one side of the head."""
    bias = dice.between(0, 0.45) * dice.smooth(shape, 4)[0].clamp(-2, 2)
    if dice.chance(0.35):
        axis = torch.tensor(rotation_of(dice.rng.normal(size=3), 90.0)[0], dtype=torch.float32)
        if dice.chance(0.5):
            axis = torch.eye(3)[int(dice.rng.integers(3))] * (1 if dice.chance(0.5) else -1)
        along = (points @ axis).clamp(-110, 110) / 220
        bias = bias + math.log(dice.log_between(1.3, 10)) * along
    return bias.exp()


def smoothed(image: torch.Tensor, sigmas: tuple[float, float, float]) -> torch.Tensor:
    """Smooth a (D, H, W) tensor by a Gaussian, sigmas in voxels."""
    result = image[None, None]
    for axis, sigma in enumerate(sigmas):
        if sigma < 0.15:
            continue
        radius = max(1, math.ceil(2.5 * sigma))
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = len(kernel)
        padding = [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        result = F.conv3d(F.pad(result, padding, mode="replicate"), (kernel / kernel.sum()).view(shape))
    return result[0, 0]
