package engine

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/protocol/engineio"
)

// openPacket is the first packet of a session (EIO-H-06).
func (s *Server) openPacket(sess *Session) *Packet {
	h := engineio.Handshake{
		SID:          sess.id,
		PingInterval: s.cfg.PingInterval,
		PingTimeout:  s.cfg.PingTimeout,
		MaxPayload:   s.cfg.MaxPayload,
	}
	if sess.polling != nil && !s.cfg.DisableUpgrades && slices.Contains(s.cfg.Transports, TransportWebSocket) {
		h.Upgrades = []string{TransportWebSocket} // EIO-H-08
	}
	p := control(engineio.Open, "")
	p.data = engineio.AppendHandshake(nil, h)
	p.size = len(p.data) + frameOverhead
	return p
}

// offersDeflate tells whether gorilla has agreed on compression.
func offersDeflate(r *http.Request) bool {
	for _, v := range r.Header["Sec-Websocket-Extensions"] {
		for ext := range strings.SplitSeq(v, ",") {
			name, _, _ := strings.Cut(ext, ";")
			if strings.TrimSpace(name) == "permessage-deflate" {
				return true
			}
		}
	}
	return false
}

func isOldExplorer(agent string) bool {
	return strings.Contains(agent, ";MSIE") || strings.Contains(agent, "Trident/")
}
