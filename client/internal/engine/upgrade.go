package engine

import (
	"context"
	"errors"

	"github.com/gorilla/websocket"
)

var errProbe = errors.New("probe error")

// startProbe begins the upgrade of a polling session, if there is one to begin.
func (c *Conn) startProbe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.closing || !c.canUpgrade() {
		return
	}
	c.wg.Add(1)
	go c.probe()
}

// probe opens a WebSocket for the session and asks whether it works. The session
// stays on polling when it does not.
func (c *Conn) probe() {
	defer c.wg.Done()
	ctx := c.ctx
	if c.cfg.ProbeTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.ProbeTimeout)
		defer cancel()
	}
	ws, err := c.dialWebSocket(ctx)
	if err == nil {
		err = c.exchangeProbe(ctx, ws)
	}
	if err != nil {
		c.cfg.Logger.Debug("engine: upgrade given up", "error", err)
		if o := c.cfg.Observer; o != nil && c.ctx.Err() == nil {
			o.UpgradeFailed(err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.closing {
		ws.Close()
		return
	}
	c.probed, c.paused = ws, true // from here on nothing is posted (EIO-J-02)
}

// exchangeProbe sends the probe and reads the answer (EIO-U-04). It closes ws if
// that fails.
func (c *Conn) exchangeProbe(ctx context.Context, ws *wsConn) error {
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	err := ws.WriteMessage(websocket.TextMessage, []byte("2probe"))
	var data []byte
	if err == nil {
		_, data, err = ws.ReadMessage()
	}
	if err == nil && string(data) != "3probe" {
		err = errProbe
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		ws.Close()
	}
	return err
}

// finishUpgrade moves the session to a WebSocket that has been probed. It runs
// between two polls: the server ends the running one with a noop (EIO-U-05).
func (c *Conn) finishUpgrade() {
	c.mu.Lock()
	ready := c.probed != nil
	c.mu.Unlock()
	if !ready {
		return
	}
	c.waitIdle(nil)
	ws := c.switchTransport()
	if ws == nil {
		return
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("5")); err != nil {
		c.end(ReasonTransportClose, err)
		return
	}
	c.mu.Lock()
	c.paused = false
	c.startFlusherLocked()
	c.mu.Unlock()
	if c.cfg.OwnHTTP {
		c.cfg.HTTP.CloseIdleConnections() // each has two goroutines and their buffers
	}
	if o := c.cfg.Observer; o != nil {
		o.Upgraded(WebSocket)
	}
}

// switchTransport makes the probed WebSocket the one in use, output still being
// paused; nil if the session is closing.
func (c *Conn) switchTransport() *wsConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probed == nil || c.ended || c.closing {
		return nil
	}
	c.ws, c.probed = c.probed, nil
	return c.ws
}
