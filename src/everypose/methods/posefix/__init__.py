"""PoseFix (Moon, Chang, Lee; CVPR 2019): a model-agnostic network that refines the poses of any estimator."""
