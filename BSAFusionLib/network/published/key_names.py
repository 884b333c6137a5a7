"""The key names of the released checkpoints, for parameters that ours name after the paper."""

import re
from collections.abc import Callable

SECTIONS = ("encoder_state_dict", "transfer_state_dict", "reg_net_state_dict", "fusion_net_state_dict")


def _numbered(template: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement that fills in a layer's number, counted from one, for the template's #."""
    return lambda match: template.replace("#", str(int(match.group(1)) + 1))


# Applied in this order, each to the result of the one before.
_SUBSTITUTIONS: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^mdf_fr\.encoder\.shallow\b", "encoder_state_dict.rb1"),
    (r"^mdf_fr\.encoder\.deep\b", "encoder_state_dict.rb2"),
    (r"^mdf_fr\.(classifier|discriminator)\.unused_norm\b", r"transfer_state_dict.\1.norm"),
    (r"^mdf_fr\.(classifier|discriminator)\.mlp\b", r"transfer_state_dict.\1.head"),
    (r"^mdf_fr\.(classifier|discriminator)\.class_token$", r"transfer_state_dict.\1.cls_token"),
    (r"^mdf_fr\.(classifier|discriminator)\.layers\.", r"transfer_state_dict.\1.vit_blks.vit"),
    (r"^mdf_fr\.(classifier|discriminator)\b", r"transfer_state_dict.\1"),
    (r"^transfer_state_dict\.discriminator\b", "transfer_state_dict.modal_dis"),
    (r"^mdf_fr\.transfer_fixed\.class_token$", "transfer_state_dict.transfer.cls1"),
    (r"^mdf_fr\.transfer_moving\.class_token$", "transfer_state_dict.transfer.cls2"),
    (r"^mdf_fr\.transfer_fixed\.layers\.", "transfer_state_dict.transfer.VitBLK1.vit"),
    (r"^mdf_fr\.transfer_moving\.layers\.", "transfer_state_dict.transfer.VitBLK2.vit"),
    (r"\.embedding\.position$", ".embedding.position_embedding"),
    (r"\.embedding\.patches\.", ".embedding.patch_embedding."),
    (r"(vit\d)\.unused_norm\.", r"\1.norm_layer1."),
    (r"(vit\d)\.norm\.", r"\1.norm_layer2."),
    (r"(vit\d)\.attention\.projection\.", r"\1.attention.out_proj."),
    (r"(vit\d)\.mlp\.0\.", r"\1.mlp.linear1."),
    (r"(vit\d)\.mlp\.2\.", r"\1.mlp.linear2."),
    (r"^bsfa\.forward_steps\.(\d)\.", _numbered("reg_net_state_dict.f1_FR#.")),
    (r"^bsfa\.reverse_steps\.(\d)\.", _numbered("reg_net_state_dict.f2_FR#.")),
    (r"^bsfa\.upsamplers\.(\d)\.narrow\.", _numbered("reg_net_state_dict.D.up#.up_sample.1.")),
    (r"^bsfa\.upsamplers\.(\d)\.convolution\.", _numbered("reg_net_state_dict.D.up#.conv1.")),
    (r"\.joining\.0\.", ".conv1x1.0."),
    (r"\.cross_attention\.own\.0\.", ".crossAtt1.conv1.0."),
    (r"\.cross_attention\.other\.0\.", ".crossAtt1.conv2.0."),
    (r"\.features\.0\.", ".feature_output.0.feature_output.0."),
    (r"\.field\.", ".flow_output.0."),
    (r"(_FR\d)\.next\.", r"\1.up1.1."),
    (r"^mmff\.blocks\.(\d)\.", _numbered("fusion_net_state_dict.F#.")),
    (r"^mmff\.changes\.(\d)\.tokens\.", _numbered("fusion_net_state_dict.up_sample#.up1.1.")),
    (r"^mmff\.changes\.(\d)\.fused\.", _numbered("fusion_net_state_dict.up_sample#.up3.1.")),
    (r"^mmff\.reconstruction\.", "fusion_net_state_dict.outLayer."),
    (r"\.entry\.", ".mlp."),
    (r"\.mdta\.query\.", ".mdta.conv1."),
    (r"\.mdta\.key\.", ".mdta.conv2."),
    (r"\.mdta\.value\.", ".mdta.conv3."),
    (r"\.mdta\.projection\.", ".mdta.conv4."),
    (r"\.gdfn\.gate\.", ".gdfn.Dconv1."),
    (r"\.gdfn\.content\.", ".gdfn.Dconv2."),
    (r"\.gdfn\.projection\.", ".gdfn.conv."),
]


def released_name(name: str) -> str:
    """Return the section and key of a parameter of `PublishedBSAFusion` in the released checkpoints.

    Args:
        name: As in `state_dict`, for instance "mdf_fr.encoder.shallow.entry.weight".

    Returns:
        Both, separated by a dot: "encoder_state_dict.rb1.mlp.weight".
    """
    for pattern, replacement in _SUBSTITUTIONS:
        name = re.sub(pattern, replacement, name)
    return name
