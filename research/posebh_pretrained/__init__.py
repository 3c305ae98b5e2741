"""PoseBH's prototypes against plain heads on pretrained features of people with three skeletons."""
