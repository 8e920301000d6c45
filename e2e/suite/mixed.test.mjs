// Two nodes under test and one official Node.js server on one Redis: everything
// that passes between nodes, asked from either side.

import { describe } from "node:test";

import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { mixedSuite } from "../lib/mixed.mjs";

// CASES are a namespace and the official server's way to answer (CLU-R-31).
const CASES = [["/", "official"], ["/chat", "official-specific"]];
const ASKERS = { 0: "a node under test", 2: "the official server" };

for (const [nsp, official] of CASES) {
  for (const [index, asker] of Object.entries(ASKERS)) {
    describe(`mixed cluster, ${asker} asks, namespace ${nsp}, ${official}`, () => {
      const cluster = useCluster({ kinds: [SUBJECT, SUBJECT, official], balancer: false });
      mixedSuite(cluster, Number(index), nsp);
    });
  }
}
