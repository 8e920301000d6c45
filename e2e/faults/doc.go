// Package faults breaks things under load and counts what it costs (HRD-92): the
// rows F01 to F20 of the list of faults. Each test starts real processes (Redis,
// three nodes, a balancer where one is needed) and 300 clients that send and
// receive numbered events, does the damage, and compares what every client got with
// what was sent, in order, and with what the nodes have counted as lost.
//
// The tests have the build tag faults; e2e/faults/run runs them and prints one line
// for each. README.md says what is measured.
package faults
