"""A run by the button, from the choice of two volumes to the result in the scene, and every way in which it may end."""

from Testing import harness


def test_the_button_waits_for_two_volumes_and_says_so(widget, heads):
    ui = widget.ui
    assert not ui.applyButton.enabled
    assert "no fixed volume" in ui.applyButton.toolTip
    ui.fixedVolumeSelector.setCurrentNode(heads[0])
    assert "no moving volume" in ui.applyButton.toolTip
    ui.movingVolumeSelector.setCurrentNode(heads[0])
    assert "both the fixed and the moving" in ui.applyButton.toolTip
    ui.movingVolumeSelector.setCurrentNode(heads[1])
    assert ui.applyButton.enabled


def test_a_click_aligns_and_fuses(ready, finish, scene, heads):
    finish()
    assert ready.ui.messageLabel.text == "Done."
    names = [
        node.GetName()
        for node in (
            ready.ui.fusedVolumeSelector.currentNode(),
            ready.ui.gridTransformSelector.currentNode(),
            ready.ui.registeredVolumeSelector.currentNode(),
        )
    ]
    assert names == ["MRI + PET", "PET to MRI", "PET registered"]
    print(ready.ui.resultsTable.rowCount)
    harness.grab(ready.parent, "/tmp/u_panel.png", width=350)
