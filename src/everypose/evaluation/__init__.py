"""Measuring pose estimators: OKS AP and AR, PCKh, PCK, AUC and EPE, with the protocol kept beside every number."""
