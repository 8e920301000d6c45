import { recipes } from "../lib/recipes.mjs";

recipes("nginx", 1);
