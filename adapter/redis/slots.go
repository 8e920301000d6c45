package redis

import (
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// slots is how many hash slots a Redis Cluster has.
const slots = 1 << 14

// slotOf is the hash slot of a key or a channel on a Redis Cluster: CRC-16/XMODEM
// of what stands in the first braces, or else of all of it.
func slotOf(key string) uint16 {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return crc % slots
}

// crcTable holds the remainders of single bytes.
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
}()

// isElsewhere tells whether Redis has answered that a slot is another server's, or
// nobody's at the moment.
func isElsewhere(err error) bool {
	_, moved := goredis.IsMovedError(err)
	_, asked := goredis.IsAskError(err)
	return moved || asked || isTransient(err)
}
