package msgpack

import (
	"encoding/binary"
	"math"
)

// The Append functions write the forms that notepack.io 3.0.1 writes: always the
// shortest, floats always 64 bits wide (CLU-M-01 to CLU-M-07).

// AppendNil appends nil.
func AppendNil(dst []byte) []byte { return append(dst, 0xc0) }

// AppendBool appends true or false.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 0xc3)
	}
	return append(dst, 0xc2)
}

// AppendUint appends an integer.
func AppendUint(dst []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(dst, byte(v))
	case v <= math.MaxUint8:
		return append(dst, 0xcc, byte(v))
	case v <= math.MaxUint16:
		return append(dst, 0xcd, byte(v>>8), byte(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), v)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0:
		return AppendUint(dst, uint64(v))
	case v >= -0x20:
		return append(dst, byte(v))
	case v >= math.MinInt8:
		return append(dst, 0xd0, byte(v))
	case v >= math.MinInt16:
		return append(dst, 0xd1, byte(v>>8), byte(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(v))
}

// AppendFloat appends a float64, also if it is integral.
func AppendFloat(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(v))
}

// AppendString appends s, which must be valid UTF-8 if others than us read it.
func AppendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(appendStringHead(dst, len(s)), s...)
}

// AppendStrings appends an array of strings.
func AppendStrings(dst []byte, list []string) []byte {
	dst = AppendArray(dst, len(list))
	for _, s := range list {
		dst = AppendString(dst, s)
	}
	return dst
}

// AppendBin appends binary data.
func AppendBin(dst, data []byte) []byte {
	return append(appendLength(dst, 0xc4, len(data)), data...)
}

// AppendArray begins an array: n values must follow.
func AppendArray(dst []byte, n int) []byte { return appendCount(dst, 0x90, 0xdc, n) }

// AppendMap begins a map: n keys, each with its value, must follow.
func AppendMap(dst []byte, n int) []byte { return appendCount(dst, 0x80, 0xde, n) }

// AppendExt appends a value of an extension type.
func AppendExt(dst []byte, typ int8, data []byte) []byte {
	switch len(data) {
	case 1, 2, 4, 8, 16:
		log2 := byte(0)
		for 1<<log2 < len(data) {
			log2++
		}
		dst = append(dst, 0xd4+log2, byte(typ))
	default:
		dst = append(appendLength(dst, 0xc7, len(data)), byte(typ))
	}
	return append(dst, data...)
}

func appendStringHead(dst []byte, n int) []byte {
	if n < 32 {
		return append(dst, 0xa0|byte(n))
	}
	return appendLength(dst, 0xd9, n)
}

// appendLength appends a length of 8, 16 or 32 bits, whose first bytes are code,
// code+1, code+2.
func appendLength(dst []byte, code byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, code, byte(n))
	case n <= math.MaxUint16:
		return append(dst, code+1, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code+2), uint32(n))
}

func appendCount(dst []byte, fix, code byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint16:
		return append(dst, code, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code+1), uint32(n))
}
