"""What methods of one pass over the image share: BoIR and CID find people by a center map, then decode each."""
