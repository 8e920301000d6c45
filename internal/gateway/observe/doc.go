// Package observe shows what the gateway does: counters as Prometheus metrics
// ([Metrics]), the way of messages as OpenTelemetry traces ([Tracing]), and log lines
// without secrets ([Log]). It counts nothing by itself but how long things take;
// what others count is given to it as functions.
package observe
