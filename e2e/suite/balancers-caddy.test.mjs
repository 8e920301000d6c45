import { recipes } from "../lib/recipes.mjs";

recipes("caddy", 2);
