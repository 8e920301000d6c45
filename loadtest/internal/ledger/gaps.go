package ledger

import (
	"math/bits"
	"slices"
)

// gaps is a set of sequences that have been passed by: one bit each, in pieces of 512
// that exist while one of their bits is set.
type gaps struct {
	pieces []piece // by index
}

const pieceBits = 512

type piece struct {
	index uint32
	n     uint32
	words [pieceBits / 64]uint64
}

// add puts from up to, not including, to into the set; none of them is in it.
func (g *gaps) add(from, to uint32) {
	for from < to {
		p := g.piece(from / pieceBits)
		end := min(to, (from/pieceBits+1)*pieceBits)
		if from/pieceBits == 1<<32/pieceBits-1 { // the next one would overflow
			end = to
		}
		for ; from < end; from++ {
			p.words[from%pieceBits/64] |= 1 << (from % 64)
			p.n++
		}
	}
}

func (g *gaps) find(index uint32) (int, bool) {
	return slices.BinarySearchFunc(g.pieces, index, func(p piece, index uint32) int {
		return int(p.index) - int(index)
	})
}

// piece returns the piece with an index, a new one if there is none.
func (g *gaps) piece(index uint32) *piece {
	if n := len(g.pieces); n == 0 || g.pieces[n-1].index < index { // nearly always
		g.pieces = append(g.pieces, piece{index: index})
		return &g.pieces[n]
	}
	i, ok := g.find(index)
	if !ok {
		g.pieces = slices.Insert(g.pieces, i, piece{index: index})
	}
	return &g.pieces[i]
}

// take removes a sequence; false if it is not there.
func (g *gaps) take(seq uint32) bool {
	i, ok := g.find(seq / pieceBits)
	if !ok {
		return false
	}
	p := &g.pieces[i]
	word, bit := &p.words[seq%pieceBits/64], uint64(1)<<(seq%64)
	if *word&bit == 0 {
		return false
	}
	*word &^= bit
	if p.n--; p.n == 0 {
		g.pieces = slices.Delete(g.pieces, i, i+1)
	}
	return true
}

func (g *gaps) has(seq uint32) bool {
	i, ok := g.find(seq / pieceBits)
	return ok && g.pieces[i].words[seq%pieceBits/64]&(1<<(seq%64)) != 0
}

// below counts the sequences below end.
func (g *gaps) below(end uint32) (n int64) {
	for i := range g.pieces {
		first := uint64(g.pieces[i].index) * pieceBits
		for j, w := range g.pieces[i].words {
			from := first + uint64(j)*64
			switch {
			case from >= uint64(end):
				return n
			case from+64 > uint64(end):
				w &= 1<<(uint64(end)-from) - 1
			}
			n += int64(bits.OnesCount64(w))
		}
	}
	return n
}

func (g *gaps) count() (n int64) {
	for i := range g.pieces {
		for _, w := range g.pieces[i].words {
			n += int64(bits.OnesCount64(w))
		}
	}
	return n
}
