"""From images to people: sources, runtimes, the estimator, and the pipeline that does many images."""
