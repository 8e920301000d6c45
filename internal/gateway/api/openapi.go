package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

// openapi is the description of the API, which a test compares with the handlers.
//
//go:embed openapi.yaml
var openapi []byte

// openapiText is the same in JSON. A test sees to it that the document is right.
var openapiText = sync.OnceValue(func() []byte {
	var doc map[string]any
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		panic(fmt.Sprintf("api: openapi.yaml: %v", err))
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("api: openapi.yaml: %v", err))
	}
	return text
})

func (a *API) openapiYAML(c *call) error {
	c.w.Header().Set("Content-Type", "application/yaml")
	_, _ = c.w.Write(openapi)
	return nil
}

func (a *API) openapiJSON(c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(openapiText())
	return nil
}
