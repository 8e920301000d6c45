import { recipes } from "../lib/recipes.mjs";

recipes("haproxy", 0);
