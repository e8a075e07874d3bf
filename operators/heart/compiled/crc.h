/* CRC-32 as zlib and the router have it: key groups are made by it. */

#ifndef ORDERPULSE_CRC_H
#define ORDERPULSE_CRC_H

#include <stddef.h>
#include <stdint.h>

void crc_prepare(void); /* once, before the first use */

/* Goes on from the checksum of what stands before; 0 at the beginning. */
uint32_t crc_of(uint32_t before, const char *text, size_t length);

#endif
