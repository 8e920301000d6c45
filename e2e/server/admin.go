package main

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/adminui"
	gateway "github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/console"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// adminOptions put the admin namespace on a node and open a second port, with the
// pages and the endpoint of clients, as the gateway does.
type adminOptions struct {
	hash, mode, dir string
	readOnly        bool
}

func (o *adminOptions) register() {
	flag.StringVar(&o.hash, "admin-hash", "", "bcrypt hash of the password of \"admin\"; no admin namespace without")
	flag.StringVar(&o.mode, "admin-mode", "development", "or production")
	flag.StringVar(&o.dir, "admin-dir", "", "folder of the admin UI's page")
	flag.BoolVar(&o.readOnly, "admin-read-only", false, "let admins only look")
}

// start does it. It is to be called before the server has handlers.
func (o *adminOptions) start(srv *node.Server, nodeID string) (stop func(context.Context) error, err error) {
	if o.hash == "" {
		return func(context.Context) error { return nil }, nil
	}
	ui, err := adminui.New(gateway.AdminUI{
		Namespace: "/admin", Username: "admin", PasswordHash: gateway.NewSecret(o.hash),
		Mode: o.mode, ReadOnly: o.readOnly, Dir: o.dir, Public: true,
	}, adminui.Options{})
	if err != nil {
		return nil, err
	}
	ui.Mount(srv)
	mux := http.NewServeMux()
	mux.Handle(adminui.PagePath, ui.Handler())
	mux.Handle(console.Path, console.Handler(console.Options{}))
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("GET /v1/nodes", func(w http.ResponseWriter, r *http.Request) { nodes(w, r, srv) })
	ln, err := listener.New(listener.Config{Handler: mux})
	if err != nil {
		return nil, err
	}
	if err := ln.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]string{"event": "admin", "node": nodeID, "url": ln.URL()})
	return func(ctx context.Context) error {
		ui.Close()
		return ln.Shutdown(ctx)
	}, err
}

// nodes answers as the gateway's API does, to the key "key-of-the-suite".
func nodes(w http.ResponseWriter, r *http.Request, srv *node.Server) {
	if r.Header.Get("Authorization") != "Bearer key-of-the-suite" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"title":"Unauthorized","status":401,"detail":"no such key"}`))
		return
	}
	list := []map[string]any{}
	for _, n := range srv.Nodes() {
		list = append(list, map[string]any{
			"id": n.ID, "address": n.Address, "answered": true, "ready": true, "uptime": time.Minute.Seconds(),
			"sessions": srv.Stats().Sessions, "sockets": srv.Stats().Sockets, "namespaces": srv.Stats().Namespaces,
		})
	}
	answer(w, map[string]any{"nodes": list, "missing": []string{}, "unnamed": 0})
}
