"""The reference catalog service: the rules engine behind HTTP (``kafkaroute serve``)."""
