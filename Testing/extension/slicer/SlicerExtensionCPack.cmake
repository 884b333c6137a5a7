# The description that the Extensions Manager reads beside the installed modules.

foreach(variable IN ITEMS CATEGORY CONTRIBUTORS DEPENDS DESCRIPTION HOMEPAGE)
  if("${EXTENSION_${variable}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${variable} is empty")
  endif()
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext "
depends ${EXTENSION_DEPENDS}
homepage ${EXTENSION_HOMEPAGE}
contributors ${EXTENSION_CONTRIBUTORS}
category ${EXTENSION_CATEGORY}
iconurl ${EXTENSION_ICONURL}
description ${EXTENSION_DESCRIPTION}
screenshoturls ${EXTENSION_SCREENSHOTURLS}
")
install(FILES ${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext DESTINATION ${Slicer_SHARE_DIR})
