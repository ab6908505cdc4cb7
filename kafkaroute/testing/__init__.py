"""Clusters to test against and the conformance suite for backends.

* :class:`kafkaroute.testing.embedded.EmbeddedCluster`: brokers inside the process, no JVM;
* :class:`kafkaroute.testing.real_kafka.RealCluster`: Apache Kafka, plaintext and SASL_SSL;
* :class:`kafkaroute.testing.conformance.BackendConformance`: what every backend must pass;
* :mod:`kafkaroute.testing.plugin`: the pytest fixtures ``embedded_cluster``, ``real_cluster``,
  ``real_clusters``.
"""
