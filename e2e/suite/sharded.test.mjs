// The mixed cluster with the sharded adapter, in each subscription mode, on one
// Redis and on a Redis Cluster.

import { describe } from "node:test";

import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { mixedSuite } from "../lib/mixed.mjs";
import { Redis, RedisCluster } from "../lib/redis.mjs";

const SERVERS = { "one Redis": Redis, "a Redis Cluster": RedisCluster };
const MODES = ["dynamic", "dynamic-private", "static"];
const ASKERS = { 0: "a node under test", 2: "the official server" };

for (const [place, redis] of Object.entries(SERVERS)) {
  for (const mode of MODES) {
    for (const [index, asker] of Object.entries(ASKERS)) {
      describe(`mixed cluster, sharded, ${mode}, ${place}, ${asker} asks`, () => {
        const cluster = useCluster({
          kinds: [SUBJECT, SUBJECT, "official"], redis, adapter: "sharded", flags: ["--subscription-mode", mode], balancer: false,
        });
        const slowJoins = mode === "dynamic-private" ? "private" : mode === "dynamic";
        mixedSuite(cluster, Number(index), "/chat", { slowJoins, looseOrder: redis === RedisCluster });
      });
    }
  }
}
