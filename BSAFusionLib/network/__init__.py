"""The paper's network: modality-discrepancy-free features, bidirectional stepwise alignment, fusion."""
