"""Everything that the worker overrides of Faust and aiokafka."""
