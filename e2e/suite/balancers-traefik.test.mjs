import { recipes } from "../lib/recipes.mjs";

recipes("traefik", 4);
