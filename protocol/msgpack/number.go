package msgpack

import (
	"math"
	"strconv"
)

// number is a JSON number, m*10^exp.
type number struct {
	neg     bool
	integer bool // neither fraction nor exponent
	cut     bool // m lacks digits
	m       uint64
	digits  int // in m, without leading zeros
	exp     int
	size    int // of the text
}

// maxExponent is larger than any exponent that makes a difference.
const maxExponent = 1 << 24

// number writes the number that is next.
func (c *converter) number() error {
	if c.shortInteger() {
		return nil
	}
	n, ok := scanNumber(c.src[c.i:])
	if !ok {
		return ErrJSON
	}
	text := c.src[c.i : c.i+n.size]
	c.i += n.size
	switch exact := n.integer && !n.cut; {
	case exact && !n.neg:
		c.dst = AppendUint(c.dst, n.m)
		return nil
	case exact && n.m <= 1<<63:
		c.dst = AppendInt(c.dst, -int64(n.m))
		c.lossless = c.lossless && n.m != 0
		return nil
	}
	f := n.float(text)
	if math.Abs(f) <= maxExact && f == math.Trunc(f) {
		c.dst = AppendInt(c.dst, int64(f))
	} else {
		c.dst = AppendFloat(c.dst, f)
	}
	c.lossless = c.lossless && n.survives(f, text)
	return nil
}

// shortInteger writes the number that is next if it is an integer of 1 to 18
// digits, which most numbers are.
func (c *converter) shortInteger() bool {
	text := c.src[c.i:]
	n, i := int64(0), 0
	neg := len(text) > 0 && text[0] == '-'
	if neg {
		i = 1
	}
	first := i
	for i < len(text) && i < first+19 && text[i]-'0' <= 9 {
		n = n*10 + int64(text[i]-'0')
		i++
	}
	switch {
	case i == first || i == first+19:
		return false
	case text[first] == '0' && (neg || i > first+1):
		return false
	case i < len(text) && (text[i] == '.' || text[i]|0x20 == 'e'):
		return false
	case neg:
		n = -n
	}
	c.dst = AppendInt(c.dst, n)
	c.i += i
	return true
}

// scanNumber reads the number that s begins with.
func scanNumber(s []byte) (n number, ok bool) {
	i := 0
	if len(s) > 0 && s[0] == '-' {
		n.neg = true
		i = 1
	}
	first := i
	i = n.scanDigits(s, i)
	if i == first || s[first] == '0' && i > first+1 {
		return n, false
	}
	n.integer = true
	if i < len(s) && s[i] == '.' {
		n.integer = false
		first = i + 1
		if i = n.scanDigits(s, first); i == first {
			return n, false
		}
		n.exp = first - i
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		n.integer = false
		exp, end := scanExponent(s, i+1)
		if end < 0 {
			return n, false
		}
		n.exp += exp
		i = end
	}
	n.size = i
	return n, true
}

// scanDigits adds digits to n.m as long as it has room for them.
func (n *number) scanDigits(s []byte, i int) int {
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		d := uint64(s[i] - '0')
		switch {
		case n.digits < 19 || !n.cut && n.digits == 19 && n.m <= (math.MaxUint64-d)/10:
			n.m = n.m*10 + d
			if n.m > 0 {
				n.digits++
			}
		default:
			n.cut = true
		}
	}
	return i
}

// scanExponent reads the exponent at s[i]; end is negative if there is none.
func scanExponent(s []byte, i int) (exp, end int) {
	neg := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		neg = s[i] == '-'
		i++
	}
	first := i
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		exp = min(exp*10+int(s[i]-'0'), maxExponent)
	}
	if i == first {
		return 0, -1
	}
	if neg {
		exp = -exp
	}
	return exp, i
}

var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float returns the nearest float64, infinite if there is none.
func (n *number) float(text []byte) float64 {
	if n.cut || n.m > maxExact || n.exp < -22 || n.exp > 22 {
		f, _ := strconv.ParseFloat(string(text), 64) // beyond the range it returns an infinity
		return f
	}
	// Both numbers are exact, so that one operation rounds correctly.
	f := float64(n.m)
	if n.exp < 0 {
		f /= powers[-n.exp]
	} else {
		f *= powers[n.exp]
	}
	if n.neg {
		f = -f
	}
	return f
}

// survives reports whether f, which was made of text, prints as the same number.
func (n *number) survives(f float64, text []byte) bool {
	switch abs := math.Abs(f); {
	case abs == 0:
		return n.m == 0 && !n.cut && !n.neg
	case math.IsInf(f, 0):
		return false
	case !n.cut && n.digits <= 15 && abs > 1e-290:
		return true // a float64 keeps 15 digits
	}
	var buf [32]byte
	a, aok := parseDecimal(text)
	b, bok := parseDecimal(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
	return aok && bok && a == b
}

// decimal is 0.d1d2d3... * 10^point, without zeros at either end of the digits.
type decimal struct {
	digits [17]byte
	n      int
	point  int
}

// parseDecimal reads a number, which must be valid and not zero, without its
// sign. It fails if there are more digits than the shortest text of a float64 has.
func parseDecimal(text []byte) (d decimal, ok bool) {
	seen, first, whole, zeros, exp := 0, -1, -1, 0, 0 // digits seen, index of the first, before the point
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '-':
		case c == '.':
			whole = seen
		case c|0x20 == 'e':
			exp, i = scanExponent(text, i+1)
		case c == '0':
			seen++
			zeros++
		default:
			if first < 0 {
				first, zeros = seen, 0
			}
			seen++
			d.n += zeros + 1
			zeros = 0
			if d.n > len(d.digits) {
				return d, false
			}
			d.digits[d.n-1] = c - '0'
		}
	}
	if whole < 0 {
		whole = seen
	}
	d.point = whole - first + exp
	return d, true
}
