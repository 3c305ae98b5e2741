"""What methods of one pass over the image share: BoIR and CID find people by a centre map, then decode each."""
