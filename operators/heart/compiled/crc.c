#include "crc.h"

static uint32_t table[256];

void crc_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++)
            rest = rest & 1 ? 0xEDB88320u ^ rest >> 1 : rest >> 1;
        table[byte] = rest;
    }
}

uint32_t crc_of(uint32_t before, const char *text, size_t length) {
    uint32_t crc = ~before;
    for (size_t index = 0; index < length; index++)
        crc = table[(crc ^ (unsigned char)text[index]) & 0xFF] ^ crc >> 8;
    return ~crc;
}
