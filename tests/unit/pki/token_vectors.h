// Tokens and their keys as JWKs, made by PyJWT 2.6.0 and cryptography 38.0.4:
// tests/support/python/make_token_vectors.py, which also says what their claims are.
#pragma once

namespace lanyard::testing {

struct TokenVector {
  const char* algorithm;
  const char* jwk;
  const char* token;
};

inline constexpr TokenVector kTokenVectors[] = {
    {"RS256",
     "{\"kty\":\"RSA\",\"n\":\"r61YE6MnYhDGMbQLqKcoPtutg_aLJDUEhE3jaGdEKGoqva3H2RYT7WLZL3jDVQHz3c2oBfhVykqoptV7Pb"
     "_btG2kbDoEsLUUcbU2QqoEVhkaxW4Br3uu42vUj3VVANrZv_BW1pK4YPB67YRHdN7xwPJ-TozN548vOrBx8K31Lx9l4oRTJM9Rhf"
     "CnJPUTxfdL0qB5uMdMqRfqw1d6fOLSCOzseDzFHRkqcAlWw9Sr-1vYnGNzCkg6iZYc8Ko3kP7iG1WLEBbJc8f0ZO8a0i4z2JVs6-"
     "03CgfovS60PvllkUDw5s0IVH5VjmqkjuAXudYMq0GEstC-4iumBcNX4hXrDQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.RctjApGgcjm1YWNujm-"
     "ePtxOlNQIqA-"
     "lJ650OQiocHkABcRpnftiXYH3K0RK1U0X3-OGzElltxGlyD42R7cYyij5rgOgBUtDl71x76K53koFqAoQxCWL1pzn-SiOY1bV7jo"
     "GkInn0VMXzBlfjhHzl4TwIvKYgCBJDja6kjU8ptDEi8Xn8FDGrV5RZzSD6nvrTh_iLwYc7kJaAx0B-"
     "e7J2G4ezPT3bY4PfTBB3ZB9BYMB-85xryH7aZc_SFuRrsIJdeg8JqLEB0dzN2cOaIiSLR-"
     "AaRiOmphPMSZgIU3nasv2if7GMOOa7tJCAWpJ-kWTAQxUyd90Y0GMIhFUP2yKLw"},
    {"RS384",
     "{\"kty\":\"RSA\",\"n\":\"r61YE6MnYhDGMbQLqKcoPtutg_aLJDUEhE3jaGdEKGoqva3H2RYT7WLZL3jDVQHz3c2oBfhVykqoptV7Pb"
     "_btG2kbDoEsLUUcbU2QqoEVhkaxW4Br3uu42vUj3VVANrZv_BW1pK4YPB67YRHdN7xwPJ-TozN548vOrBx8K31Lx9l4oRTJM9Rhf"
     "CnJPUTxfdL0qB5uMdMqRfqw1d6fOLSCOzseDzFHRkqcAlWw9Sr-1vYnGNzCkg6iZYc8Ko3kP7iG1WLEBbJc8f0ZO8a0i4z2JVs6-"
     "03CgfovS60PvllkUDw5s0IVH5VjmqkjuAXudYMq0GEstC-4iumBcNX4hXrDQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzM4NCIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.pFYXGZ9u1vXPQRzzVou_f9Mu"
     "c6jm61grRVXUBStpjGOMdXn69w8q1ZOo43wRJmSiC6N4YbHYFHCXYLKtp1RPT_ocal3kXqlFpm0PsDSQMAeM_Ej-FJVO5TJ41_KG"
     "jjC_DyUUo6qcxp_yj1IsT2NL6_9YYmE-"
     "t8HGAp5V3oT_mQm7wCOWmxbuvJfupgw_MXrkH9DLDd4UJ3op5zDy2Dc46wNJHpH3SpiGoMR8NJpnhcXN-ooXBKMToQu0r2umg9Az"
     "LUX7QnvnLTMVg6EOyw71UGMNfgw1rwAsgMA24P02pJRg9e6IP5Xxau8B86-Ec0-M9fWnIb7zpQJwhq9j9AXUuA"},
    {"RS512",
     "{\"kty\":\"RSA\",\"n\":\"r61YE6MnYhDGMbQLqKcoPtutg_aLJDUEhE3jaGdEKGoqva3H2RYT7WLZL3jDVQHz3c2oBfhVykqoptV7Pb"
     "_btG2kbDoEsLUUcbU2QqoEVhkaxW4Br3uu42vUj3VVANrZv_BW1pK4YPB67YRHdN7xwPJ-TozN548vOrBx8K31Lx9l4oRTJM9Rhf"
     "CnJPUTxfdL0qB5uMdMqRfqw1d6fOLSCOzseDzFHRkqcAlWw9Sr-1vYnGNzCkg6iZYc8Ko3kP7iG1WLEBbJc8f0ZO8a0i4z2JVs6-"
     "03CgfovS60PvllkUDw5s0IVH5VjmqkjuAXudYMq0GEstC-4iumBcNX4hXrDQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzUxMiIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.ESQETsaotSYd4ki6LFH70Tat"
     "S_3dHVhjYniYq1SGFjiVD1KL9ZepjGdgCyYZDQGfwCsRwB97F8FVdgU_j7h_jZpZsC-kmW-qZmR8SqNEIjo1eG4UMpTyyNtHQc9g"
     "ESEwYHHKXyHCBinD1O9vK2HJYIhyuMzBlJq8pl1yYnPOIyAkbIwjBlgs4EZnad9636qDuB2r_-"
     "HS5nvs084XdEijWAsVpm3R9Q4eDs6rbzMZYPu8ntry_5M5BNNmvCknNNgMGeYJe-"
     "scLiv5uCIYOvOhZA0_qJ2Lt_wdn0lGxvv5I-sW2iN2QB1CMQNzatWFaMr7Uc24MT0IJ2SmK4IdZU2Ptw"},
    {"ES256",
     "{\"kty\":\"EC\",\"crv\":\"P-"
     "256\",\"x\":\"yoOVZytrB0uSXgMEZOT6u6uMLQymvXuvjvuE01EbAy8\",\"y\":\"fWz7gWeOed1YNVSEAyukV9Dr_-"
     "OE8UF0JMRQebt534E\"}",
     "eyJhbGciOiJFUzI1NiIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.ejMv2jP7m4qnyC5jzRF73FoS"
     "35QmFn5OLWw6rSyv-aaci5cywmyg5LZzzdhaVJzk4njxtOAgl5aByInPCTvvMQ"},
    {"ES384",
     "{\"kty\":\"EC\",\"crv\":\"P-"
     "384\",\"x\":\"egWBAYr9suX31ZklGeEms1vW0CTP_VG3HHIOjkXbAo3ydVy6SEEID2Yc2jWwQMAM\",\"y\":\"eNmNYTYuIwnLYiEqH4l"
     "wclG14qk75Gsn0OWrpU-nAHUUVOlFWY7q1CgZQAhwnQ64\"}",
     "eyJhbGciOiJFUzM4NCIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.0dtaPuh5MJLLvCN6ursccTME"
     "BHUYFYlTX7fnbdSeAxX4xilOu9y3S66M7Dm6s0P6jTR2LvNPEaI_Q292VWStTOMDWi7zdRuw_BBXS8-0PkqqUY_4HO-"
     "q_faZLhFfbI3L"},
    {"ES512",
     "{\"kty\":\"EC\",\"crv\":\"P-"
     "521\",\"x\":\"AZRLMWcCMUVuqE3FMMG0j9ezLvrTI8U5XRlMTxVDW2BNoKJQAinshzg21KVgEZTr5ba2J2a0IZAc8-"
     "AiLzRc1lTm\",\"y\":\"AcSPRIrN4pVkfZUmB9SzoGQU3wCwxYQT3oTxkVs4_SSRCon05xMFOfHkEPwc65YNb4WSbMExH8mSuHiCcYb"
     "KItzy\"}",
     "eyJhbGciOiJFUzUxMiIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.AFkDmnadjK7Rgp8Ii23PeJo-"
     "kGo2fb7BKGr4y_yB1W740LKjnIc7Tt1r_-dwons9k4PAwCBakfDO1jS5sSETeCtdARWPOn2QrqAdeQ_yoSwYgaRpKDQ6cfYSPlRy"
     "DLoHTSE4JgdiYd468ynDIFG2UzJify3rJzABwMRD15vo94i5KB3k"},
    {"PS256",
     "{\"kty\":\"RSA\",\"n\":\"r61YE6MnYhDGMbQLqKcoPtutg_aLJDUEhE3jaGdEKGoqva3H2RYT7WLZL3jDVQHz3c2oBfhVykqoptV7Pb"
     "_btG2kbDoEsLUUcbU2QqoEVhkaxW4Br3uu42vUj3VVANrZv_BW1pK4YPB67YRHdN7xwPJ-TozN548vOrBx8K31Lx9l4oRTJM9Rhf"
     "CnJPUTxfdL0qB5uMdMqRfqw1d6fOLSCOzseDzFHRkqcAlWw9Sr-1vYnGNzCkg6iZYc8Ko3kP7iG1WLEBbJc8f0ZO8a0i4z2JVs6-"
     "03CgfovS60PvllkUDw5s0IVH5VjmqkjuAXudYMq0GEstC-4iumBcNX4hXrDQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJQUzI1NiIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.FRiqD5m1AZm2AfbMOl4CvsQu"
     "HRuxRQjzHJXNRPJoCkqIgUZkb74sK-U0nRn3JxXHpbuFw0ltJy_C-MLOUXb4lQVbt8K48XEfehnvIqcTrH0wF_NYCumA-"
     "Vhnn6GlUoND3Zi8BSdN1GuIfkSpNGbE-XUavWNcNDul0SO8PVwOfZR9uxcSZsYZs3OmLBo_r6pPjiNhK4UUBWf81PIKBBZnRMRQ8"
     "88mORK4oP3w1eoaVLHN8K1bNLOv459GfYw0n3sdPVwVRB-"
     "L5b9dak1VODNJa2UXjrVZVb8KBXjXgC1dqJfzbpBn6L2XY98pip7504hOLLID_kuK-xeMp3hzm0qDJw"},
    {"PS384",
     "{\"kty\":\"RSA\",\"n\":\"r61YE6MnYhDGMbQLqKcoPtutg_aLJDUEhE3jaGdEKGoqva3H2RYT7WLZL3jDVQHz3c2oBfhVykqoptV7Pb"
     "_btG2kbDoEsLUUcbU2QqoEVhkaxW4Br3uu42vUj3VVANrZv_BW1pK4YPB67YRHdN7xwPJ-TozN548vOrBx8K31Lx9l4oRTJM9Rhf"
     "CnJPUTxfdL0qB5uMdMqRfqw1d6fOLSCOzseDzFHRkqcAlWw9Sr-1vYnGNzCkg6iZYc8Ko3kP7iG1WLEBbJc8f0ZO8a0i4z2JVs6-"
     "03CgfovS60PvllkUDw5s0IVH5VjmqkjuAXudYMq0GEstC-4iumBcNX4hXrDQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJQUzM4NCIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.rNgjns-nECIHTvLvsPs7KZaQ"
     "6bWSRHCxnLOlQGn56QKyLocjCE9L1Z4ySLajQ26P2X8Em5ENPmfHQ3YqPMVGU9T5fS5nq1xvp5X7cUlZb_LkleJNYwFXB_vyF_Iz"
     "x9KM1d7ataLg_u20SEWFt6GRDx_OY7xWwOBPdCwH-6cmwFF0jU2Tbqcfk9EaRvtl65GQAbE8ljSBkUC-wa6jmF8Pjl3_VOvNuQ13"
     "jufekDR7xRj_uHBFMwAo2UeNtR3Ts0zpA5k4UsmxyzaqckRjsHNXQkNg8HvjwOV3gTnqGPFmvCxyvOTI3x6jVBJKgdjH8BGTlDSB"
     "EeA7iSClEFosyoEn7w"},
    {"PS512",
     "{\"kty\":\"RSA\",\"n\":\"r61YE6MnYhDGMbQLqKcoPtutg_aLJDUEhE3jaGdEKGoqva3H2RYT7WLZL3jDVQHz3c2oBfhVykqoptV7Pb"
     "_btG2kbDoEsLUUcbU2QqoEVhkaxW4Br3uu42vUj3VVANrZv_BW1pK4YPB67YRHdN7xwPJ-TozN548vOrBx8K31Lx9l4oRTJM9Rhf"
     "CnJPUTxfdL0qB5uMdMqRfqw1d6fOLSCOzseDzFHRkqcAlWw9Sr-1vYnGNzCkg6iZYc8Ko3kP7iG1WLEBbJc8f0ZO8a0i4z2JVs6-"
     "03CgfovS60PvllkUDw5s0IVH5VjmqkjuAXudYMq0GEstC-4iumBcNX4hXrDQ\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJQUzUxMiIsImtpZCI6Im90aGVyIiwidHlwIjoiSldUIn0.eyJzdWIiOiJzcGlmZmU6Ly9leGFtcGxlLm9yZy9vdGhl"
     "ciIsImF1ZCI6WyJyZXBvcnRzIiwiYmlsbGluZyJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmJmIjoxNzY3"
     "MjI1NjAwLCJqdGkiOiJvbmUiLCJwcml2YXRlIjp7Im5lc3RlZCI6W3RydWUsbnVsbCwxLjVdfX0.QaPEz1YmSHcxztDnNirpExDe"
     "W937Zk6QxQ6VYkbPH1YvWxjA8imax09tUGGK4QZ_UuLGl84FqQWCZ-iJ7_eNb8seyzmPdtOgtv_p1rJqRJEi-"
     "iRNMeNqCGZdoHHMiemrk4dhg_JOKsrv1Hh0QEaX-etCJkmiL2o2wH2zlojooEu6xN5JDikBELmZXG5cp1aJD9UJLy2MxSYWRlt7x"
     "3RzceFnGiSkxKv8STkl1XkSkGjeBv3OjcaJkjBEXyhQDa2mn2PV_160vWXaRKAv6TJ95u2DxqMtpDDfFc5YNhjD3M5Er1VdCyV0q"
     "AzQrY5J5ihV0OIwq1JT1R665PTfxOjxTA"},
};

}  // namespace lanyard::testing
