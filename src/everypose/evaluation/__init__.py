"""Measuring pose estimators: OKS AP and AR, PCKh, PCK, AUC and EPE, each number with its protocol."""
